"""Peak memory, and the reuse of freed memory on a CPU."""

import ctypes
import platform
import resource
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors for the next step or pass.

    By default, glibc returns large blocks to the system at once, and the next step pays for new pages. This costs a fifth of
    the step time of a large model on a CPU (``scripts/benchmarks/train.py``) and a quarter of the time of a backbone
    (``scripts/benchmarks/extract.py``). Without glibc, nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, -1)


def peak_memory() -> int:
    """Return the peak memory of this process.

    Returns:
        Bytes, including libraries and memory-mapped files.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
