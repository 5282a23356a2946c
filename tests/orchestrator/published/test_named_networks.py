"""Networks by name, and the command that shows their graphs."""

from __future__ import annotations

import json
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import nn

from orchestrator.cli.app import main
from orchestrator.published.named_networks import open_network
from predictor.errors import AIOPError
from predictor.graph import Graph, trace
from tests.support.declared_space import isolate_declarations, write_space
from workers.data.base import Vocabulary
from workers.errors import GenotypeError
from workers.spaces import get_space
from workers.tasks import get_task
from workers.training.full import Network

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"


def onnx_file(
    folder: Path, width: int = 4, name: str = "net.onnx", settings: Mapping[str, Any] = MappingProxyType({})
) -> str:
    network = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its older exporter
        torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), str(folder / name), dynamo=False, **settings)
    return str(folder / name)


def test_an_onnx_file_is_identified_by_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_network(onnx_file(tmp_path))
    assert trace(opened.build(), (3, 32, 32)).params == 3 * 4 * 9 + 4 + 4 * 2 + 2
    with torch.random.fork_rng():
        torch.manual_seed(1)
        trained = open_network(onnx_file(tmp_path, name="trained.onnx"))
    assert trained.architecture == opened.architecture
    assert open_network(onnx_file(tmp_path, width=5, name="other.onnx")).architecture != opened.architecture
    monkeypatch.chdir(tmp_path)
    assert open_network("net.onnx").name == opened.name


@pytest.mark.parametrize("task", ["seg", "pose"])
def test_a_backbone_with_a_head_has_the_same_graph_after_export(task: str, tmp_path: Path) -> None:
    # No operation twice on the same value: exporters would compute it once.
    cell = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    space, vocabulary = get_space("nasbench201"), Vocabulary(("a", "b"), 2, ("hand", "foot"))
    backbone = space.build(open_network(f"nasbench201:{cell}").architecture, {"channels": [8, 8, 8, 8]})
    network = Network(backbone, get_task(task).build_head(backbone.channels, backbone.strides, vocabulary, {})).eval()
    options = {"dynamo": False, "training": torch.onnx.TrainingMode.PRESERVE}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, 64, 64),), str(tmp_path / "net.onnx"), **options)
    imported = trace(open_network(str(tmp_path / "net.onnx")).build(), (3, 64, 64))
    assert imported.id == trace(network, (3, 64, 64)).id


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
    opened = open_network(name)
    network = opened.build()
    assert all(p.is_meta for p in network.parameters())
    assert trace(network, (3, side, side)).params == sum(p.numel() for p in network.parameters())
    assert open_network(name).architecture == opened.architecture


def test_a_network_of_a_declared_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_declarations(monkeypatch)
    path = write_space(tmp_path)
    monkeypatch.chdir(tmp_path)
    opened = open_network('mynets.yaml:{"depth": 1, "width": 8, "kernel": 3}')
    assert opened.name.startswith(f"{path}:")
    assert open_network(opened.name).architecture == opened.architecture
    assert trace(opened.build(), (3, 64, 64)).flops > 0
    with pytest.raises(GenotypeError, match="mynets string '3': must be an object"):
        open_network("mynets.yaml:3")
    with pytest.raises(GenotypeError, match="'width' is missing"):
        open_network('mynets.yaml:{"depth": 1}').build()


def test_a_users_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.package", sys.modules[__name__])
    assert isinstance(open_network("some.package:linear").build(), nn.Sequential)


def sized(width: int, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, width), nn.Linear(width, outputs))


@pytest.mark.parametrize("text", ["[4, 5]", '{"outputs":5, "width": 4}', '{"width": 4, "outputs": 5}'])
def test_a_users_function_with_arguments(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mynets", sys.modules[__name__])
    opened = open_network(f"mynets:sized({text})")
    assert trace(opened.build(), (3, 8, 8)).params == 193 * 4 + 5 * 5
    assert opened.architecture.values == {"name": "mynets:sized", "arguments": json.loads(text)}
    assert open_network(opened.name).architecture == opened.architecture


def test_a_function_without_arguments_keeps_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.package", sys.modules[__name__])
    plain, *same = (open_network(f"some.package:linear{end}") for end in ("", "()", "([])", "({})"))
    assert plain.architecture.id == "e26ea03830dfe615"
    assert {(network.name, network.architecture) for network in same} == {(plain.name, plain.architecture)}


def test_a_user_names_the_space_of_functions_and_files(tmp_path: Path) -> None:
    call = open_network("mynets:sized([4])", "my-space")
    assert (call.architecture.space, open_network(call.name).architecture.space) == ("my-space", "function")
    assert open_network(onnx_file(tmp_path), "my-space").architecture.space == "my-space"
    assert open_network("timm:resnet18", "timm").architecture.space == "timm"
    for name, space, message in (
        ("timm:resnet18", "mine", "is of the space timm: leave the space out"),
        ("mynets:sized([4])", "resnet50", "name 'resnet50' is taken"),
        ("mynets:sized([4])", "mmseg", "name 'mmseg' is taken"),
        ("mynets:sized([4])", "My Space", "name 'My Space': use up to 40 lower-case letters"),
    ):
        with pytest.raises(AIOPError, match=message):
            open_network(name, space)


def reads_a_value(width: int) -> nn.Module:
    return sized(int(torch.full((1,), width)))


def test_a_function_that_reads_values_is_called_again_off_the_meta_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mynets", sys.modules[__name__])
    meta, real = (open_network(f"mynets:{name}([4])").build() for name in ("sized", "reads_a_value"))
    assert [next(network.parameters()).is_meta for network in (meta, real)] == [True, False]
    assert trace(meta, (3, 8, 8)).id == trace(real, (3, 8, 8)).id


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50", "write timm:..., mmdet:..., "),
        ("timm:", "write timm:..."),
        ("keras:vgg", "write timm:..."),
        ("timm:no_such_resnet", "timm has no model of that name"),
        ("mmdet:configs/none.py", "no such file below"),
        ("nasbench201:|x~0|", "nasbench201"),
        ("mobilenetv3:{", "mobilenetv3 string '{': is not JSON"),
        ('mobilenetv3:{"depth":[9]}', "mobilenetv3 genotype"),
        ("some.package:missing", "AttributeError"),
        ("some.package:broken", "ValueError: not today"),
        ("some.package:nothing", "returns str: it must return a torch.nn.Module"),
        ("no.such.package:f", "ModuleNotFoundError"),
        ("some.package:sized(4)", "the arguments in parentheses must be a JSON list or object"),
        ("some.package:sized(width=4)", "the arguments in parentheses must be a JSON list or object"),
        ('some.package:sized({"depth": 4})', "TypeError: sized() got an unexpected keyword argument 'depth'"),
        ("/nowhere/net.onnx", "/nowhere/net.onnx: No such file or directory: name an ONNX file"),
    ],
)
def test_a_failed_opening_is_a_one_line_error(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some.package", sys.modules[__name__])
    with pytest.raises(AIOPError) as caught:
        open_network(name).build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


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
    printed = json.loads(capsys.readouterr().out)
    graph = Graph.from_json(out.read_text())
    assert (printed["nodes"], printed["flops"], printed["id"]) == (len(graph.nodes), graph.flops, graph.id)
    assert graph.input_size == (3, 32, 64)
    boxes = [e for e in ElementTree.parse(svg).getroot() if e.tag.endswith("rect")]
    corners = {(box.get("x"), box.get("y")) for box in boxes}
    assert len(boxes) == len(corners) == len(graph.nodes)  # no box covers another


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["timm:resnet18", "--input-size", "big"],
            "--input-size big: write SIDE, HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH",
        ),
        (["timm:resnet18", "--input-size", "0"], "--input-size 0"),
        (["timm:vit_tiny_patch16_224", "--input-size", "100"], "cannot run on an image of 3x100x100"),
        (["timm:resnet18", "--svg", "/nowhere/g.svg"], "choose a writable file"),
    ],
)
def test_mistakes_end_with_exit_code_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
    assert torch.get_default_device() == torch.device("cpu")
