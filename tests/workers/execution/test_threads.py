"""Threads and memory of a training process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from workers.execution.threads import use_cores

_FAULTS = """
import random, resource, torch
from workers.execution.threads import use_cores
torch.set_num_threads(1)
sizes = [random.Random(0).choices((2**15, 2**18, 2**20, 2**21), k=20 + 10 * i) for i in range(5)]
def step():  # as in training, all tensors kept for the backward pass are freed at once
    for group in sizes:
        tensors = [torch.ones(size) for size in group]
        del tensors
if {tuned}:
    use_cores(1)
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has another allocator")
def test_the_memory_of_a_step_is_reused_by_the_next() -> None:
    assert _page_faults(tuned=True) * 20 < _page_faults(tuned=False)


def test_torch_uses_the_reserved_cores() -> None:
    before = torch.get_num_threads()
    try:
        use_cores(0.5)
        assert torch.get_num_threads() == 1
        use_cores(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


_RETURNED_BYTES = """
import psutil, torch
from workers.execution.threads import use_cores, return_freed_memory
use_cores(1)
held = [torch.ones(2**20 + 2**10 * i) for i in range(40)]
kept = held[1::2]
del held
before = psutil.Process().memory_info().rss
assert return_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has another allocator")
def test_freed_memory_is_returned_between_labels() -> None:
    command = [sys.executable, "-c", _RETURNED_BYTES]
    returned = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert returned > 15 * 4 * 2**20  # twenty tensors of 4 MiB were freed between others that are kept
