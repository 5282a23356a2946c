"""How a process that trains uses its machine: threads and memory."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import cast

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
    mallopt = _of_c_library("mallopt")
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _NEVER))


def return_freed_memory() -> bool:
    """Hand freed memory back to the kernel; whether there was any, and this C library knows how.

    Between two labels: the holes that one network's tensors leave seldom fit the next one's, so a worker that kept them
    all would grow with every kind of network that it meets.
    """
    trim = _of_c_library("malloc_trim")
    return bool(trim and trim(0))


def _of_c_library(name: str) -> Callable[..., int] | None:
    """A function of this process's C library; None where it has no such one."""
    try:
        return cast(Callable[..., int], getattr(ctypes.CDLL(None), name))
    except (AttributeError, OSError):
        return None
