"""Runs after `keep_freed_memory` cause no page faults."""

from __future__ import annotations

import ctypes
import json
import platform
import subprocess
import sys

import pytest

from workers.latency.allocator import keep_freed_memory

# In a fresh process: one that has freed memory before takes large arrays from it.
PROGRAM = """
import ctypes, json, resource
import numpy as np
from workers.latency import allocator

def faults_a_run(runs=20):
    np.ones(1 << 19)  # 4 MiB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(runs):
        np.ones(1 << 19)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / runs

ctypes.CDLL(None).mallopt(allocator._MMAP_THRESHOLD, 1 << 20)
mapped = faults_a_run()
print(json.dumps([mapped, allocator.keep_freed_memory(), faults_a_run()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such settings")
def test_large_arrays_stay_in_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    mapped, was_set, kept = json.loads(done.stdout)
    assert was_set
    assert mapped >= 1  # hundreds, or one for each huge page
    assert kept < 0.5


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory.__wrapped__()
