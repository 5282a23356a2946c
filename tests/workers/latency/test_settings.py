"""Settings that do not fit together are errors that name the remedy; labels of one device have one name."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from workers.errors import LatencyError
from workers.latency import settings
from workers.latency.settings import LatencySettings


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "available_cpus", lambda: 4)
    monkeypatch.setattr(settings, "available_cores", lambda: 2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"device": "gpu"}, "--device 'gpu': write cpu, cuda or cuda:N"),
        ({"device": "cuda:x"}, "write cpu, cuda or cuda:N"),
        ({"device": "cuda", "threads": 2}, "leave them out with --device cuda"),
        ({"precision": "int8"}, "--precision 'int8': choose one of fp32, fp16, bf16"),
        ({"precision": "fp16"}, "is for GPUs: choose fp32 or bf16, or add --device cuda"),
        ({"mode": "fast"}, "--mode 'fast': choose one of eager, compiled, onnxruntime"),
        ({"mode": "onnxruntime", "device": "cuda"}, "choose these, or --mode compiled"),
        ({"mode": "onnxruntime", "precision": "bf16"}, "--precision fp32 only"),
        ({"threads": 5}, "--threads 5: this process may use 4: choose from 1 to 4"),
        ({"threads": 0}, "choose from 1 to 4"),
        ({"batch": 0}, "--batch 0: must be at least 1"),
        ({"warm_up": -1}, "--warm-up -1: must be at least 0"),
        ({"repeats": 4}, "--repeats 4: must be at least 5"),
        ({"seconds": 0.0}, "--seconds 0: must be a positive number"),
        ({"seconds": float("nan")}, "must be a positive number"),
    ],
)
def test_the_message_names_the_remedy(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(LatencyError) as error:
        LatencySettings(**fields)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_packages_of_onnxruntime_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(LatencyError, match=r"needs onnxruntime: pip install 'aiop-orchestrator\[onnxruntime\]'"):
        LatencySettings(mode="onnxruntime")


def test_threads_are_the_physical_cores_by_default() -> None:
    assert LatencySettings().threads == 2
    assert LatencySettings(threads=4).threads == 4
    assert LatencySettings(device="cuda").threads is None


@pytest.mark.parametrize(
    ("fields", "device", "name"),
    [
        (
            {"threads": 1},
            "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz",
            "cpu:intel-xeon-e5-2686-v4/threads1/batch1/fp32/eager",
        ),
        ({"precision": "bf16"}, "AMD EPYC 7B13", "cpu:amd-epyc-7b13/threads2/batch1/bf16/eager"),
        (
            {"device": "cuda:1", "batch": 8, "precision": "fp16", "mode": "compiled"},
            "NVIDIA H200",
            "cuda:nvidia-h200/batch8/fp16/compiled",
        ),
        ({}, "", "cpu:unknown/threads2/batch1/fp32/eager"),
    ],
)
def test_a_data_set_is_a_device_with_its_settings(fields: dict[str, Any], device: str, name: str) -> None:
    assert LatencySettings(**fields).data_name(device) == name


def test_repeats_and_warm_up_do_not_change_the_data_set() -> None:
    assert LatencySettings(repeats=50, warm_up=3, seconds=2).data_name("x") == LatencySettings().data_name("x")
