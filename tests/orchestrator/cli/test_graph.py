"""`orchestrator graph` and `predict` mark costs that are incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.label_in_process import run
from tests.support.onnx_networks import OnnxBuilder


@pytest.fixture
def incomplete(tmp_path: Path) -> Path:
    """A file with an operation whose FLOPs nobody knows."""
    builder = OnnxBuilder()
    result = builder.node("Relu", builder.node("Mystery", "x", builder.weight(3, 3), domain="my"))
    return builder.write(tmp_path / "net.onnx", result, 14, {"v0_0": [1, 3, 16, 16]})


def test_the_table_of_a_graph_marks_a_lower_bound(
    incomplete: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(monkeypatch, capsys, "graph", str(incomplete), "--input-size", "16")
    assert printed.code == 0
    assert "flops: >= " in printed.out
    assert "FLOPs are a lower bound: my.Mystery not counted" in printed.err


def test_so_does_its_json(
    incomplete: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(monkeypatch, capsys, "graph", str(incomplete), "--input-size", "16", "--json")
    assert printed.code == 0
    document = printed.document
    assert (document["flops_lower_bound"], document["uncounted"]) == (True, ["my.Mystery"])


def test_a_prediction_marks_it_and_says_what_it_means(
    incomplete: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # without a predictor of one's own
    asked = "--task", "cls", "--head", "none", "--input-size", "16"
    printed = run(monkeypatch, capsys, "predict", str(incomplete), *asked)
    assert printed.code == 0
    assert ">= " in printed.out
    assert "so the prediction is for a cheaper network" in printed.err
