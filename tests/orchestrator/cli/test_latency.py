"""`orchestrator latency`: every mistake is one line and exit code 2, and nothing is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.published import latency_labels
from orchestrator.store.delta import DeltaLabelStore
from tests.support.exit_codes import exit_code

NET = "timm:resnet18"
CELL = "nasbench201:|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"

CASES = [
    ([NET, "--device", "gpu"], "--device 'gpu': write cpu, cuda or cuda:N"),
    ([NET, "--device", "cuda:-1"], "write cpu, cuda or cuda:N"),
    ([NET, "--device", "cuda", "--threads", "1"], "--threads 1: are of the CPU"),
    ([NET, "--precision", "fp8"], "--precision 'fp8': choose one of fp32, fp16, bf16"),
    ([NET, "--precision", "fp16"], "--precision fp16: is for GPUs"),
    ([NET, "--mode", "graph"], "--mode 'graph': choose one of eager, compiled, onnxruntime"),
    ([NET, "--mode", "onnxruntime", "--precision", "bf16"], "--precision fp32 only"),
    ([NET, "--mode", "onnxruntime", "--device", "cuda"], "--device cpu"),
    ([NET, "--batch", "0"], "--batch 0: must be at least 1"),
    ([NET, "--threads", "0"], "--threads 0: this process may use"),
    ([NET, "--threads", "4096"], "--threads 4096: this process may use"),
    ([NET, "--repeats", "1"], "--repeats 1: must be at least 5"),
    ([NET, "--warm-up", "-3"], "--warm-up -3: must be at least 0"),
    ([NET, "--seconds", "0"], "--seconds 0: must be a positive number"),
    ([NET, "--seconds", "inf"], "must be a positive number"),
    ([NET, "--input-size", "big"], "--input-size big: write SIDE, HEIGHTxWIDTH"),
    ([NET, "--recipe", "laptop"], "--recipe: is of a task's head: add --task"),
    ([NET, "--data", "shapes"], "--data: is of a task's head: add --task"),
    ([NET, "--again"], "--again: measures what a store has: add --store"),
    ([NET, "--store", ""], "store is empty"),
    ([NET, "--store", "/proc/labels"], "label store /proc/labels"),
    ([NET, "--task", "sge"], "unknown task 'sge'"),
    ([NET, "--task", "seg", "--recipe", "mainframe"], "unknown recipe for task seg 'mainframe'"),
    ([NET, "--task", "seg", "--recipe", "det.1x"], "--recipe det.1x: is for task det, not seg"),
    ([NET, "--task", "seg", "--data", "masks:/nowhere"], "/nowhere"),
    (["resnet18"], "model 'resnet18': write timm:..."),
    (["timm:resnet_18"], "timm has no model of that name"),
    (["timm:resnet_18", "--task", "seg"], "must be a timm model"),
    (["nasbench201:|oops|"], "|oops|"),
    (["missing.onnx"], "missing.onnx: No such file"),
    (["mypackage.missing:network"], "model 'mypackage.missing:network': there is no module mypackage"),
    ([CELL, "--input-size", "1x32x32", "--repeats", "5"], "cannot run on an image of 1x32x32"),
]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    return exit_code(monkeypatch, "latency", *arguments)


@pytest.mark.parametrize(("arguments", "says"), CASES)
def test_one_line_and_exit_code_2(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments, monkeypatch) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


def test_a_measured_network_is_a_row_and_a_label(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = str(tmp_path / "labels")
    options = ["--input-size", "32", "--threads", "1", "--repeats", "5", "--warm-up", "0", "--store", store, "--json"]
    assert run([CELL, "timm:resnet_18", *options], monkeypatch) == 1
    printed = capsys.readouterr()
    assert "timm:resnet_18: not measured:" in printed.err
    measured, failed = json.loads(printed.out)
    assert measured["ms"] > 0
    assert failed["ms"] is None
    (label,) = DeltaLabelStore(store).labels(task="latency").to_pylist()
    assert (label["value"], label["data"]) == (measured["ms"], measured["data"])


def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(latency_labels, "is_busy", lambda metrics: True)
    options = ["--input-size", "32", "--threads", "1", "--repeats", "5", "--warm-up", "0"]
    assert run([CELL, *options], monkeypatch) == 0
    printed = capsys.readouterr()
    assert "the machine was busy during 1 of 1" in printed.err
    assert "whole" not in printed.out
    assert "nasbench201 + own head, 32x32" in printed.out
