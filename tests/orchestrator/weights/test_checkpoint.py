"""Checkpoints in the layouts of PyTorch's libraries: their weights, and nothing else, become safetensors."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file
from torch import nn

from orchestrator.errors import WeightsError
from orchestrator.weights.checkpoint import read_checkpoint

STATE = OrderedDict({"conv1.weight": torch.arange(6.0).view(2, 3), "bn1.running_var": torch.ones(2)})
OTHER = {name: value + 9 for name, value in STATE.items()}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in STATE.items()}


DETECTOR = {**prefixed("backbone."), "neck.weight": torch.zeros(1), "rpn_head.weight": torch.zeros(1)}
LAYOUTS: dict[str, tuple[Any, str, int]] = {  # content, entry that is used, number of entries left out
    "torchvision": (STATE, "", 0),
    "torchvision detector": ({**prefixed("backbone.body."), "backbone.fpn.w": torch.zeros(1)}, "", 1),
    "torchvision reference": (
        {"model": OTHER, "model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.")}, "optimizer": OPTIMIZER},
        "model_ema",
        1,
    ),
    "timm": (
        {"epoch": 3, "arch": "x", "state_dict": OTHER, "optimizer": OPTIMIZER, "args": argparse.Namespace(lr=1.0)},
        "state_dict",
        0,
    ),
    "timm averaged": ({"state_dict": OTHER, "state_dict_ema": STATE, "metric": 0.7}, "state_dict_ema", 0),
    "mmdet": (
        {"meta": {"epoch": 12, "cfg": "style='pytorch'", "CLASSES": ("a", "b")}, "state_dict": DETECTOR},
        "state_dict",
        2,
    ),
    "mmdet backbone": ({"meta": {}, "state_dict": STATE}, "state_dict", 0),
    "mmengine averaged": ({"state_dict": DETECTOR, "ema_state_dict": OTHER}, "state_dict", 2),
    "DataParallel": ({"state_dict": prefixed("module."), "best_acc1": torch.tensor(0.5)}, "state_dict", 0),
    "compiled detector in DDP": (prefixed("module._orig_mod.backbone."), "", 0),
    "Lightning": ({"state_dict": prefixed("model."), "optimizer_states": [OPTIMIZER]}, "state_dict", 0),
    "values that are no tensors": ({**STATE, "epoch": 3, "name": "x"}, "", 2),
    "parameters": ({name: nn.Parameter(value) for name, value in STATE.items()}, "", 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_weights_are_found_under_plain_names(layout: str, legacy: bool, tmp_path: Path) -> None:
    content, entry, dropped = LAYOUTS[layout]
    torch.save(content, tmp_path / "w.pth.tar", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "w.pth.tar")
    written = load(found.to_safetensors())
    expected = OTHER if layout == "timm" else STATE
    assert (found.entry, found.dropped) == (entry, dropped)
    assert written.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in written.items())


def test_an_entry_can_be_chosen(tmp_path: Path) -> None:
    torch.save({"student": OTHER, "teacher": STATE, "state_dict_ema": OTHER}, tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth", "teacher")
    assert found.entry == "teacher"
    assert torch.equal(found.tensors["conv1.weight"], STATE["conv1.weight"])


def test_shared_and_strided_tensors_become_plain_ones(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    state = {"a": base, "alias": base, "view": base[1], "transposed": base.T, "last": base.view(1, 3, 2, 2)}
    state["last"] = state["last"].to(memory_format=torch.channels_last)
    torch.save(state, tmp_path / "w.pt")
    written = load(read_checkpoint(tmp_path / "w.pt").to_safetensors())
    assert written.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in written.items())


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    torch.save(dict(reversed(STATE.items())), tmp_path / "one.bin")
    save_file(dict(STATE), tmp_path / "two.safetensors", metadata={"source": "elsewhere"})
    one, two = (read_checkpoint(tmp_path / name).to_safetensors() for name in ("one.bin", "two.safetensors"))
    assert one == two


class Custom:
    """An object that only this test can unpickle."""


def test_files_that_cannot_be_used_are_one_line_errors(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "config": Custom()}, tmp_path / "object.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    meta = {"cfg": "model = dict(\n    backbone=dict(\n        type='ResNet',\n        style='caffe'))"}
    torch.save({"meta": meta, "state_dict": DETECTOR}, tmp_path / "caffe.pth")
    torch.save({"epoch": 3, "student": {"x": 1}}, tmp_path / "none.pth")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "object.pth").read_bytes()[:500])
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    (tmp_path / "empty.pth").touch()
    for name, content in {
        "pop": b"\x80\x02}q\x01.\x80\x02s.",
        "end": b"\x80\x02\x8a",
        "half": b"\x80\x02X\x01",
    }.items():
        (tmp_path / f"{name}.pth").write_bytes(content)
    (tmp_path / "text.safetensors").write_text("no")
    (tmp_path / "name.pth").write_bytes(b"\x80\x02ctorch\n" + b"[" * 300_000 + b"\n.")
    (tmp_path / "name2.pth").write_bytes(b"\x80\x02ctorch\n\xff" + b"[" * 300_000 + b"\n.")
    messages = {
        "name.pth": "a name is too long",
        "name2.pth": "not a readable checkpoint",
        "object.pth": r"holds more than weights .*Custom.* could run code: where you trust the file, save its weights",
        "model.pth": r"holds more than weights .*Linear",
        "tensor.pth": "holds a Tensor, not weights by name: save the state_dict",
        "caffe.pth": "its backbone is caffe-style, .*: name a checkpoint of style pytorch",
        "none.pth": "has no weights, but the entries epoch, student: choose .* by --entry",
        "torn.pth": "not a readable checkpoint",
        "text.pth": r"not a readable checkpoint|holds more than weights",
        "empty.pth": "not a readable checkpoint",
        "pop.pth": "not a readable checkpoint",
        "end.pth": "not a readable checkpoint",
        "half.pth": "not a readable checkpoint",
        "missing.pth": "not a readable checkpoint",
        "text.safetensors": "is not a readable safetensors file",
    }
    for name, message in messages.items():
        with pytest.raises(WeightsError, match=message) as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(tmp_path / name))
    with pytest.raises(WeightsError, match="has no weights in 'x': its entries are epoch, student"):
        read_checkpoint(tmp_path / "none.pth", "x")
