"""How much memory long work takes, and what it does on a CPU with freed memory."""

import ctypes
import platform
import resource
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> None:
    """Have glibc keep what tensors free, for the tensors of the next step or pass.

    By default it gives large blocks back to the system at once, and the next step pays for fresh pages again: a fifth of the
    time of a large model's step on a CPU (``scripts/benchmarks/train.py``), a quarter of a backbone's (``extract.py`` there).
    Elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, -1)


def peak_memory() -> int:
    """The most memory that this process has had.

    Returns:
        Bytes, with those of libraries and of files that were read through the page cache's maps.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
