"""ONNX files as people have them: what `orchestrator graph` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.exit_codes import exit_code
from tests.support.wild_data import wild_data_folder

pytestmark = pytest.mark.real


def graph_of(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    path = wild_data_folder("onnx/") / "onnx" / name
    code = exit_code(monkeypatch, "graph", str(path), "--input-size", "64", "--json")
    assert code == 0, capsys.readouterr().err
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_recurrent_layers_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The number is torch's for the module: a convolution, nn.GRU(512, 64, bidirectional=True), a linear layer."""
    document = graph_of("rnn.onnx", monkeypatch, capsys)
    assert (document["flops"], document["params"]) == (15_122_432, 223_690)
    assert (document["flops_lower_bound"], document["uncounted"]) == (False, [])


@pytest.mark.parametrize("name", ["neg.onnx", "neghw.onnx"])
def test_sizes_below_one_are_unknown(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = graph_of(name, monkeypatch, capsys)
    assert (document["input_size"], document["flops"]) == ([3, 64, 64], 2 * 8 * 27 * 64 * 64)


def test_a_pointer_of_git_lfs_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match=r"lfs.onnx: is a pointer of git-lfs, .*: fetch it with `git lfs pull`"):
        graph_of("lfs.onnx", monkeypatch, capsys)
