"""Runs after `keep_freed_memory` cause no page faults."""

from __future__ import annotations

import ctypes
import platform
import resource
from collections.abc import Callable

import pytest
import torch

from workers.latency import allocator
from workers.latency.allocator import keep_freed_memory


def faults_a_run(run: Callable[[], object], runs: int = 20) -> float:
    run()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(runs):
        run()
    return (resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) / runs


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such settings")
def test_large_activations_stay_in_memory() -> None:
    images = torch.rand(1, 64, 128, 128)  # 4 MiB

    def run() -> object:
        return (images + 1).mul(2)

    ctypes.CDLL(None).mallopt(allocator._MMAP_THRESHOLD, 1 << 20)
    assert faults_a_run(run) > 100
    assert keep_freed_memory.__wrapped__()
    assert faults_a_run(run) < 5


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory.__wrapped__()
