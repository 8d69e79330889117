"""The memory of the CPU between two tensors: kept, not given back to the operating system."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
MAX_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tells the C library to keep what is freed for what is asked for next; whether it took the hint.

    glibc by itself maps every large tensor anew, and the system fills it with zeros page by page: some 100,000 page
    faults in an update at 256². The tensors of an update are of the same sizes each time, so nothing is wasted. All
    threads share one store, so that each takes what another has freed. Elsewhere (musl, macOS, Windows) nothing is
    done. No number changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, MAX_INT), mallopt(M_ARENA_MAX, 1)])
