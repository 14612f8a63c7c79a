"""What long work on a CPU does with freed memory."""

import ctypes
import platform

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
