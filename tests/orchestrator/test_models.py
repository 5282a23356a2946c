"""Networks by name, and the command that tells their graphs."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch
from torch import nn

from orchestrator.cli.app import main
from orchestrator.models import open_model
from predictor.errors import AIOPError
from predictor.graph import Graph, trace
from workers.spaces import get_space

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))


def nothing() -> str:
    return "no module"


def broken() -> nn.Module:
    raise ValueError("not today")


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("timm:resnet18.a1_in1k", 64),
        (f"nasbench201:{CELL}", 32),
        (
            'mnasnet:{"e":[4,1,4,6,4,6,6],"k":[5,5,3,3,5,5,3],"d":[1,1,3,1,2,1,2],"se":[false,false,false,false,false,'
            "false,false]}",
            64,
        ),
        ("transnas-macro:124200", 64),
        ("mobilenetv3:" + next(get_space("mobilenetv3").sequence(0)).genotype, 64),
    ],
)
def test_every_kind_is_built_without_weights(name: str, side: int) -> None:
    opened = open_model(name)
    network = opened.build()
    assert all(p.is_meta for p in network.parameters())
    assert trace(network, (3, side, side)).params == sum(p.numel() for p in network.parameters())
    assert open_model(name).architecture == opened.architecture


def test_anybodys_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.package", sys.modules[__name__])
    assert isinstance(open_model("some.package:linear").build(), nn.Sequential)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50", "write timm:..., mmdet:..., "),
        ("timm:", "write timm:..."),
        ("keras:vgg", "write timm:..."),
        ("timm:resnet_of_nobody", "timm has none of that name"),
        ("mmdet:configs/none.py", "no such file below"),
        ("nasbench201:|x~0|", "nasbench201"),
        ("mobilenetv3:{", "no JSON of a genotype"),
        ('mobilenetv3:{"depth":[9]}', "mobilenetv3 genotype"),
        ("some.package:missing", "AttributeError"),
        ("some.package:broken", "ValueError: not today"),
        ("some.package:nothing", "returns str: let it return a torch.nn.Module"),
        ("no.such.package:f", "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_opened_says_why_in_one_line(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.package", sys.modules[__name__])
    with pytest.raises(AIOPError) as refusal:
        open_model(name).build()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["orchestrator", "graph", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_command_draws_and_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg, out = tmp_path / "g.svg", tmp_path / "g.json"
    name = f"nasbench201:{CELL}"
    assert run(monkeypatch, name, "--input-size", "32x64", "--svg", str(svg), "--out", str(out), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    found = Graph.from_json(out.read_text())
    assert (told["nodes"], told["flops"], told["id"]) == (len(found.nodes), found.flops, found.id)
    assert found.input_size == (3, 32, 64)
    boxes = [e for e in ElementTree.parse(svg).getroot() if e.tag.endswith("rect")]
    corners = {(box.get("x"), box.get("y")) for box in boxes}
    assert len(boxes) == len(corners) == len(found.nodes)  # none lies on another


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timm:resnet18", "--input-size", "big"], "--input-size big: write SIDE or HEIGHTxWIDTH"),
        (["timm:resnet18", "--input-size", "0"], "--input-size 0"),
        (["timm:vit_tiny_patch16_224", "--input-size", "100"], "cannot run on an image of 3x100x100"),
        (["timm:resnet18", "--svg", "/nowhere/g.svg"], "name a file that can be written"),
    ],
)
def test_mistakes_end_with_exit_code_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
    assert torch.get_default_device() == torch.device("cpu")
