"""Keep freed memory in the process, so that no run that is timed asks the system for pages."""

from __future__ import annotations

import ctypes
from functools import cache

# mallopt's parameters and the largest values that glibc's own adaptation reaches, in bytes (malloc/malloc.c).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 64 << 20, 32 << 20


@cache
def keep_freed_memory() -> bool:
    """Set how the C library frees memory, until the process ends. Returns False where that is not glibc.

    Otherwise the largest activations may be mapped in every run, with a page fault for each page. Whether that happens
    depends on the layout of the heap, which differs between processes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library or system
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _TRIM_BYTES) and mallopt(_MMAP_THRESHOLD, _MMAP_BYTES))
