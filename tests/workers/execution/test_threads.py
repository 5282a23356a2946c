"""Threads and memory of a process that trains."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from workers.execution.threads import compute_on

_FAULTS = """
import random, resource, torch
from workers.execution.threads import compute_on
torch.set_num_threads(1)
sizes = [random.Random(0).choices((2**15, 2**18, 2**20, 2**21), k=20 + 10 * i) for i in range(5)]
def step():  # what is kept for the backward pass is freed all at once
    for some in sizes:
        kept = [torch.ones(size) for size in some]
        del kept
if {tuned}:
    compute_on(1)
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(tuned: bool) -> int:
    command = [sys.executable, "-c", _FAULTS.format(tuned=tuned)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, with an allocator of its own")
def test_memory_of_one_step_serves_the_next() -> None:
    assert _page_faults(tuned=True) * 20 < _page_faults(tuned=False)


def test_threads_are_the_reserved_cores() -> None:
    before = torch.get_num_threads()
    try:
        compute_on(0.5)
        assert torch.get_num_threads() == 1
        compute_on(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


_RETURNED = """
import psutil, torch
from workers.execution.threads import compute_on, return_freed_memory
compute_on(1)
held = [torch.ones(2**20 + 2**10 * i) for i in range(40)]
kept = held[1::2]
del held
before = psutil.Process().memory_info().rss
assert return_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, with an allocator of its own")
def test_freed_memory_goes_back_between_labels() -> None:
    command = [sys.executable, "-c", _RETURNED]
    returned = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert returned > 15 * 4 * 2**20  # of twenty tensors of 4 MiB, freed between others that are kept
