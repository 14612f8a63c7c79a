"""How many threads compute, and how they wait. No torch: it must be settled before torch is loaded."""

import os
from collections.abc import MutableMapping

# GNU's OpenMP, which torch's Linux wheels bring, reads the first two; LLVM's and Intel's the first and the last.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
WEIGHTS_A_THREAD = 1_000_000


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
