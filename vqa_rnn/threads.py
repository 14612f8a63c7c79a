"""How many threads compute, and how they wait. No torch: it must be settled before torch is loaded."""

import os
from collections.abc import MutableMapping

# GNU's OpenMP, which torch's Linux wheels bring, reads the first two; LLVM's and Intel's the first and the last.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# docs/performance.md has the measurements: below it, what threads tell each other costs more than another one saves.
PRODUCTS_A_THREAD = 200_000_000


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads sleep while they wait for work.

    By default they spin, which keeps other processes from the cores: two trainings side by side then run at a hundredth of
    their speed. Takes effect in this process only where torch is not loaded yet, and in all processes that it starts.

    Args:
        environment: Where the policy is set, unless one of its variables is set already.
    """
    if not any(name in environment for name in _WAITING):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        environment["KMP_BLOCKTIME"] = "0"


def num_cpus() -> int:
    """Processors that this process may use.

    Returns:
        Their number.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_threads(products: int, num_processes: int = 1) -> int:
    """How many threads train a model on a CPU. A rule and not a measurement: the same in every run on a machine.

    Args:
        products: Of weights and questions of a part of a step, by ``models.count_products``.
        num_processes: Training processes on this machine, among which its processors are shared.

    Returns:
        ``OMP_NUM_THREADS`` where that is set; else one for each ``PRODUCTS_A_THREAD``, but at least one and no more than
        there are processors.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return max(1, min(products // PRODUCTS_A_THREAD, num_cpus() // num_processes))
