"""glibc malloc tuning: keep freed memory instead of returning it to the operating system."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
MAX_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory for the next allocation; returns whether it did.

    By default glibc maps every large tensor again, and the kernel zeroes it page by page: about 100,000 page faults per
    update at 256². Each update allocates the same sizes, so nothing is wasted. All threads share one arena, so each
    reuses memory that another has freed. Does nothing on musl or macOS. Changes no result.

    The settings hold for the whole process and cannot be undone, so commands (train, demo, compress, serve) call this
    on a CPU, and ``diptych.train`` does not. Call it yourself to train as fast from Python.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, MAX_INT), mallopt(M_ARENA_MAX, 1)])
