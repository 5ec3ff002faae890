"""Keep freed memory in the process, where the C library would return it at once.

A U-Net on a CPU allocates and frees blocks of megabytes at every layer. By default glibc maps
each of them anew, and the kernel's zeroing of fresh pages then takes up to half of the time.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory; returns False where there is no glibc to tell."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    mapped = mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(mapped and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
