"""Memory: keep freed memory in the process, and recognise out-of-memory errors.

By default the C library returns freed blocks at once. A U-Net on a CPU allocates and frees blocks
of megabytes at every layer, and the kernel's zeroing of fresh pages then takes up to half the time.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory; return False without glibc."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    mapped = mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(mapped and mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def lacks_memory(error: Exception) -> bool:
    """Return True if an error means out of memory, on the CPU or a GPU.

    Accelerators have a type for it; the CPU's allocator and cuDNN's raise a RuntimeError.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "ALLOC_FAILED" in text
    )


def free_device_memory() -> None:
    """Return cached memory to the GPU, if one is in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
