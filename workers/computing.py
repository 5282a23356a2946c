"""How a process that trains uses its machine: threads and memory."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h> of glibc: the option's number and the largest value that it takes.
_TRIM_THRESHOLD, _NEVER = -1, 2**31 - 1
_MMAP_THRESHOLD, _LARGEST = -3, 32 * 2**20


def compute_on(cpus: float) -> None:
    """Let this process compute on so many cores.

    Ray limits OpenMP to one thread by default, whatever an actor has reserved. torch is left alone where nothing has
    imported it: a scripted evaluator does without.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(max(1, int(cpus)))
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Stop this process from handing freed tensors back to the kernel; whether its C library knows how.

    By default glibc maps every tensor of some hundred kilobytes anew and unmaps it when freed, so each step pays for
    the kernel's page faults: a sixth of a small network's training on a CPU. The process stays as large as its largest
    step, until `return_freed_memory`. Tensors above 32 MiB are still mapped one by one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def return_freed_memory() -> bool:
    """Hand freed memory back to the kernel; whether this C library knows how.

    Between two labels: the holes that one network's tensors leave seldom fit the next one's, so a worker that kept them
    all would grow with every kind of network that it meets.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library
        return False
    return bool(trim(0))
