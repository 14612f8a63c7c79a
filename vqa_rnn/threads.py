"""The number of threads, and how they wait. This module does not import torch: its settings must precede that import."""

import os
from collections.abc import MutableMapping

# GNU's OpenMP, which is in torch's Linux wheels, reads the first two; LLVM's and Intel's read the first and the last.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Measured in docs/performance.md: with fewer products, synchronisation costs more than another thread saves.
PRODUCTS_A_THREAD = 200_000_000


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make OpenMP threads sleep while they wait for work.

    By default they spin, which keeps other processes off the cores: two trainings side by side then run at a hundredth of their
    speed. This affects the current process only if torch is not loaded yet, and all processes that it starts.

    Args:
        environment: The environment variables to set. Nothing is changed if one of them is already set.
    """
    if not any(name in environment for name in _WAITING):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        environment["KMP_BLOCKTIME"] = "0"


def num_cpus() -> int:
    """Count the processors that this process may use.

    Returns:
        The number of processors.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_threads(products: int, num_processes: int = 1) -> int:
    """Choose the number of threads that train a model on a CPU, by a fixed rule: it is the same in every run on a machine.

    Args:
        products: Number of products of weights and questions in one part of a step, from ``models.count_products``.
        num_processes: Number of training processes that share this machine's processors.

    Returns:
        ``OMP_NUM_THREADS`` if it is set; else one thread per ``PRODUCTS_A_THREAD``, but at least one and at most this process's
        share of the processors.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return max(1, min(products // PRODUCTS_A_THREAD, num_cpus() // num_processes))
