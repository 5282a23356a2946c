"""A module is measured with real weights in each mode, and torch's settings are as before afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workers.errors import LatencyError
from workers.latency import settings as settings_module
from workers.latency.measurement import METRIC, device_name, is_busy, measure_latency
from workers.latency.settings import LatencySettings

SIZE = (3, 16, 16)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def quick(**fields: Any) -> LatencySettings:
    return LatencySettings(**{"threads": 1, "warm_up": 0, "repeats": 5, "seconds": 1.0} | fields)


def test_the_row_tells_how_it_was_measured() -> None:
    threads = torch.get_num_threads()
    latency = measure_latency(network(), SIZE, quick(batch=2))
    assert latency.timing.median_ms > 0
    assert latency.data.startswith("cpu:")
    assert latency.data.endswith("/threads1/batch2/fp32/eager")
    names = {METRIC, "spread", "wall_ms", "repeats", "rounds", "warm_up", "batch", "load", "threads"}
    assert latency.metrics.keys() == names
    assert (latency.metrics["repeats"], latency.metrics["batch"], latency.metrics["threads"]) == (5, 2, 1)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_network_gets_images_of_the_precision_in_evaluation(precision: str) -> None:
    seen: list[tuple[torch.dtype, torch.Size, bool, bool]] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, images: Tensor) -> Tensor:
            seen.append((images.dtype, images.shape, self.training, torch.is_inference_mode_enabled()))
            output: Tensor = self.inner(images)
            return output

    measure_latency(Spy(), SIZE, quick(precision=precision))
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    assert set(seen) == {(dtype, torch.Size((1, *SIZE)), False, True)}


def test_whatever_a_network_raises_is_one_line() -> None:
    with pytest.raises(LatencyError, match=r"cannot run with --device cpu .*RuntimeError.*: choose others") as error:
        measure_latency(nn.Linear(5, 5), SIZE, quick())
    assert "\n" not in str(error.value)


def test_too_little_memory_names_the_batch() -> None:
    class Large(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError

    with pytest.raises(LatencyError, match="does not fit into cpu with --batch 3: lower it"):
        measure_latency(Large(), SIZE, quick(batch=3))


@pytest.mark.parametrize(
    ("gpus", "device", "says"),
    [(0, "cuda", "torch finds no GPU"), (2, "cuda:2", "this machine has cuda:0 to cuda:1: choose one")],
)
def test_a_missing_gpu(gpus: int, device: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(LatencyError, match=says):
        device_name(LatencySettings(device=device))


def test_compiled_networks_are_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = nn.Identity()
    calls: list[Tensor] = []
    compiled.register_forward_hook(lambda module, inputs, output: calls.append(output))
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)  # loads the compiler
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: compiled)
    measure_latency(network(), SIZE, quick(mode="compiled"))
    assert len(calls) >= 5


def test_onnxruntime_runs_the_exported_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the package, which is optional; the export is its own."""
    runs: list[dict[str, Any]] = []

    class Session:
        def __init__(self, path: str, options: Any, providers: list[str]) -> None:
            assert Path(path).read_bytes() == b"network"
            assert (options.intra_op_num_threads, providers) == (1, ["CPUExecutionProvider"])

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="images")]

        def run(self, outputs: None, inputs: dict[str, Any]) -> None:
            runs.append(inputs)

    def export(module: nn.Module, arguments: Any, path: str, **options: Any) -> None:
        Path(path).write_bytes(b"network")

    package = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=Session)
    monkeypatch.setitem(sys.modules, "onnxruntime", package)
    monkeypatch.setattr(settings_module.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.onnx, "export", export)
    measure_latency(network(), SIZE, quick(mode="onnxruntime"))
    assert isinstance(runs[0]["images"], np.ndarray)
    assert runs[0]["images"].shape == (1, *SIZE)


@pytest.mark.parametrize(
    ("metrics", "busy"),
    [
        ({"spread": 0.1, "load": 99.0, "threads": 1.0}, False),  # CPU time does not count other processes
        ({"spread": 0.3, "load": 0.0, "threads": 1.0}, True),
        ({"spread": 0.1, "load": 99.0, "threads": 2.0}, True),
        ({"spread": 0.1, "load": float("nan"), "threads": 2.0}, False),
        ({"spread": 0.1, "load": 99.0}, False),  # a GPU
    ],
)
def test_a_busy_machine(metrics: dict[str, float], busy: bool) -> None:
    assert is_busy(metrics) is busy
