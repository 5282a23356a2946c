"""Settings of a training process: number of threads, and what the C library does with freed memory."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import cast

# Options of glibc's mallopt (<malloc.h>), and the largest value that each takes.
_M_TRIM_THRESHOLD, _MAX_TRIM_THRESHOLD = -1, 2**31 - 1
_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD = -3, 32 * 2**20


def use_cores(cpus: float) -> None:
    """Let torch compute on `cpus` cores in this process.

    Ray limits OpenMP to one thread by default, whatever an actor reserves. Nothing is done if torch is not imported:
    a scripted evaluator does not need it.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(max(1, int(cpus)))
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Keep the memory of freed tensors in this process. Returns whether the C library supports it.

    By default glibc maps every tensor of some hundred kilobytes separately and unmaps it when it is freed. Each step
    then pays for the kernel's page faults: a sixth of a small network's training time on a CPU. The process stays as
    large as its largest step until `return_freed_memory`. Tensors above 32 MiB are still mapped one by one.
    """
    mallopt = _libc_function("mallopt")
    return bool(
        mallopt and mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _MAX_TRIM_THRESHOLD)
    )


def return_freed_memory() -> bool:
    """Return freed memory to the kernel. Returns whether there was any and the C library supports it.

    Call it between two labels: the gaps that one network's tensors leave rarely fit the next network's, so a worker
    that kept them all would grow with every kind of network.
    """
    trim = _libc_function("malloc_trim")
    return bool(trim and trim(0))


def _libc_function(name: str) -> Callable[..., int] | None:
    """Return a function of this process's C library, None if it has no such function."""
    try:
        return cast(Callable[..., int], getattr(ctypes.CDLL(None), name))
    except (AttributeError, OSError):
        return None
