"""ONNX files: the same graph as the exported module, or an error in one line."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from predictor.errors import AIOPError
from predictor.graph import Graph, OnnxError, read_onnx, trace
from predictor.graph.from_onnx import structure_hash
from tests.support.graph_modules import FunctionModule

pytestmark = pytest.mark.filterwarnings("ignore")  # from the exporters
LEGACY = {"dynamo": False, "training": torch.onnx.TrainingMode.PRESERVE}
DYNAMO = {"dynamo": True, "optimize": False, "external_data": False, "verbose": False}


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def export(network: nn.Module, side: int, path: Path, **settings: Any) -> Path:
    """Export the network with random weights, because exporters merge equal ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in network.parameters():
            nn.init.normal_(weight)
    torch.onnx.export(network.eval(), (torch.zeros(1, 3, side, side),), str(path), **settings)
    return path


def test_a_file_has_the_graph_of_the_exported_module(tmp_path: Path) -> None:
    network = timm.create_model("mobilenetv3_small_050")
    path = export(network, 32, tmp_path / "net.onnx", **LEGACY)
    assert trace(read_onnx(path), (3, 32, 32)).id == trace(network, (3, 32, 32)).id


FAMILIES = (
    "resnet18:64 mobilenetv3_small_050:64 efficientnet_b0:64 convnext_atto:64 vit_tiny_patch16_224:224 regnetx_002:64 "
    "mixer_s32_224:224 ghostnet_100:64"
)


@pytest.mark.slow
def test_splits_that_depend_on_the_size(tmp_path: Path) -> None:
    network = timm.create_model("edgenext_xx_small")
    path = export(network, 256, tmp_path / "net.onnx", **LEGACY)
    assert trace(read_onnx(path), (3, 256, 256)).id == trace(network, (3, 256, 256)).id


@pytest.mark.slow
def test_swin_except_for_the_tables_that_the_exporter_computes(tmp_path: Path) -> None:
    """Position biases are looked up during the export, so the file contains the results in place of the tables."""
    network = timm.create_model("swin_tiny_patch4_window7_224")
    graph = trace(read_onnx(export(network, 224, tmp_path / "net.onnx", **LEGACY)), (3, 224, 224))
    expected = trace(network, (3, 224, 224))
    assert [replace(node, params=0) for node in graph.nodes] == [replace(node, params=0) for node in expected.nodes]
    pairs = zip(graph.nodes, expected.nodes, strict=True)
    assert {node.op for node, expected_node in pairs if node.params != expected_node.params} == {"add"}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [LEGACY, DYNAMO], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("spec", FAMILIES.split())
def test_families_of_timm(spec: str, settings: dict[str, Any], tmp_path: Path) -> None:
    name, _, side = spec.partition(":")
    network, size = timm.create_model(name), (3, int(side), int(side))
    path = export(network, int(side), tmp_path / "net.onnx", **settings)
    assert trace(read_onnx(path), size).id == trace(network, size).id


def attention(m: Any, x: Tensor) -> Tensor:
    tokens = m.norm(x.flatten(2).transpose(1, 2))
    q, k, v = m.qkv(tokens).reshape(1, 64, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
    return m.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)) + tokens


NETWORKS = {
    "conv": FunctionModule(lambda m, x: m.c(x), c=nn.Conv2d(3, 6, 3, 2, 2, dilation=2, groups=3)),
    "transposed": FunctionModule(lambda m, x: m.c(x), c=nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=False)),
    "norms": FunctionModule(
        lambda m, x: m.i(m.g(m.b(x))), b=nn.BatchNorm2d(3), g=nn.GroupNorm(3, 3), i=nn.InstanceNorm2d(3)
    ),
    "activations": FunctionModule(
        lambda m, x: F.mish(F.silu(F.gelu(F.hardswish(F.relu6(F.leaky_relu(F.elu(m.p(x))))))).sigmoid().tanh()),
        p=nn.PReLU(3),
    ),
    "pools": FunctionModule(lambda m, x: F.avg_pool2d(F.max_pool2d(x, 3, 2, 1), 2, ceil_mode=True).mean((2, 3))),
    "attention": FunctionModule(attention, norm=nn.LayerNorm(3), qkv=nn.Linear(3, 24), out=nn.Linear(8, 3)),
    "parts": FunctionModule(lambda m, x: torch.cat([p * (n + 2) for n, p in enumerate(x.chunk(2, 2))], 2)),
    "roll": FunctionModule(lambda m, x: x.roll((-1, 2), (2, 3)).exp()),
    "strides": FunctionModule(lambda m, x: torch.cat([x[:, :, ::2, ::2], x[:, :, 1::2, ::2].flip(3)], 1)),
    "resize": FunctionModule(
        lambda m, x: F.interpolate(F.interpolate(x, scale_factor=2), size=(6, 5), mode="bilinear")
    ),
    "shuffle": FunctionModule(lambda m, x: F.pixel_shuffle(m.c(x), 2), c=nn.Conv2d(3, 8, 1)),
    "arithmetic": FunctionModule(
        lambda m, x: (1 - x) / (x.abs().sqrt() + 2) ** 2 - torch.maximum(x, -x).log().clamp(min=0)
    ),
    "reductions": FunctionModule(
        lambda m, x: x.amax((2, 3)) + F.normalize(x, dim=1).sum((2, 3)) + x.flatten(2).softmax(-1)[..., 0]
    ),
    "picks": FunctionModule(lambda m, x: x[:, torch.tensor([2, 0])] + x.select(1, 1)),
    "padding": FunctionModule(lambda m, x: F.pad(F.pad(x, (1, 2, 0, 1)), (1, 1, 1, 1), mode="reflect").relu()),
    "shared": FunctionModule(lambda m, x: m.c(m.c(x)), c=nn.Conv2d(3, 3, 1)),
    "outputs": FunctionModule(lambda m, x: (x.relu(), m.c(x)), c=nn.Conv2d(3, 4, 1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks(name: str, tmp_path: Path) -> None:
    path = export(NETWORKS[name], 8, tmp_path / "net.onnx", **LEGACY)
    assert trace(read_onnx(path), (3, 8, 8)) == trace(NETWORKS[name], (3, 8, 8))


@pytest.mark.parametrize("opset", [13, 16])
def test_layers_that_old_opsets_write_as_several_operations_are_fused(opset: int, tmp_path: Path) -> None:
    network = FunctionModule(
        lambda m, x: F.gelu(m.n(F.hardswish(m.g(m.c(x))).permute(0, 2, 3, 1))),
        c=nn.Conv2d(3, 4, 1),
        g=nn.GroupNorm(2, 4),
        n=nn.LayerNorm(4),
    )
    path = export(network, 8, tmp_path / "net.onnx", **LEGACY, opset_version=opset)
    graph = trace(read_onnx(path), (3, 8, 8))
    assert ops(graph) == ["input", "conv", "group_norm", "hard_swish", "layer_norm", "gelu", "output"]
    assert graph == trace(network, (3, 8, 8))


@pytest.mark.slow  # the exporter takes ten seconds to load
@pytest.mark.parametrize("optimize", [False, True])
def test_the_dynamo_exporter(optimize: bool, tmp_path: Path) -> None:
    network = FunctionModule(
        lambda m, x: m.head(m.n(F.silu(m.c(x)).mean((2, 3)))),
        c=nn.Conv2d(3, 8, 3),
        n=nn.LayerNorm(8),
        head=nn.Linear(8, 2),
    )
    path = export(network, 8, tmp_path / "net.onnx", **DYNAMO | {"optimize": optimize})
    assert trace(read_onnx(path), (3, 8, 8)).id == trace(network, (3, 8, 8)).id


def test_batch_norms_that_the_exporter_folds_are_missing(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t")
    path = export(network, 32, tmp_path / "net.onnx", dynamo=False)
    graph, unfolded = trace(read_onnx(path), (3, 32, 32)), trace(network, (3, 32, 32))
    assert ops(graph) == [op for op in ops(unfolded) if op != "batch_norm"]
    assert graph.flops == unfolded.flops
    assert abs(graph.params / unfolded.params - 1) < 0.01  # a bias in place of weight and bias


def test_a_file_with_dynamic_axes_takes_any_size(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    axes = {"image": {0: "batch", 2: "height", 3: "width"}}
    path = export(network, 32, tmp_path / "net.onnx", **LEGACY, input_names=["image"], dynamic_axes=axes)
    for size in ((3, 32, 32), (3, 16, 24)):
        assert trace(read_onnx(path), size).id == trace(network, size).id


def write_model(folder: Path, nodes: list[Any], arrays: dict[str, Any] | None = None, **settings: Any) -> Path:
    """Write a file with these nodes, input `x`, (1, 3, 8, 8), and output `y`."""
    values = {"x": [1, 3, 8, 8], "y": None} | settings.pop("values", {})
    typed = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()}
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()]
    inputs = [typed[name] for name in settings.pop("inputs", ["x"])]
    between = [value for name, value in typed.items() if name not in ("x", "y")]
    graph = helper.make_graph(nodes, "net", inputs, [typed["y"]], stored, value_info=between)
    opsets = [helper.make_opsetid("", settings.pop("opset", 18)), helper.make_opsetid("my.ops", 1)]
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets), str(path), **settings)
    return path


def test_unknown_operations_are_nodes_of_the_graph(tmp_path: Path) -> None:
    """Their output sizes are inferred by ONNX's rules, or read from the file."""
    weight = np.ones((4, 3), np.float32)
    nodes = [
        helper.make_node("Hardmax", ["x"], ["a"]),
        helper.make_node("Twist", ["a", "w"], ["b"], domain="my.ops"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    path = write_model(tmp_path, nodes, {"w": weight}, values={"b": ["batch", 4, 2, 2]})
    graph = trace(read_onnx(path), (3, 8, 8))
    assert ops(graph) == ["input", "other", "other", "relu", "output"]
    assert [node.inputs for node in graph.nodes] == [(), (0,), (1,), (2,), (3,)]
    assert [node.params for node in graph.nodes] == [0, 0, 12, 0, 0]
    assert (graph.nodes[2].channels_out, graph.nodes[2].positions_out) == (4, 4)


def test_the_structure_hash_ignores_weights_and_names(tmp_path: Path) -> None:
    def hash_of(weight: float, name: str, kernel: int = 3) -> str:
        array = np.full((4, 3, kernel, kernel), weight, np.float32)
        node = helper.make_node("Conv", ["x", name], ["y"], name=name, doc_string=name)
        return structure_hash(write_model(tmp_path, [node], {name: array}))

    assert hash_of(1.0, "a") == hash_of(2.0, "b")
    assert hash_of(1.0, "a") != hash_of(1.0, "a", kernel=1)


def test_files_with_weights_may_be_missing_but_not_those_with_constants(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Reshape", ["a", "shape"], ["y"])]
    arrays = {"w": np.ones((4, 3, 1, 1), np.float32), "shape": np.array([1, 4, 64])}
    settings = {"save_as_external_data": True, "convert_attribute": False}
    path = write_model(tmp_path, nodes, arrays, **settings, location="net.data", size_threshold=70)
    (tmp_path / "net.data").unlink()
    assert trace(read_onnx(path), (3, 8, 8)).params == 12
    path = write_model(tmp_path, nodes, arrays, **settings, location="all.data", size_threshold=0)
    assert trace(read_onnx(path), (3, 8, 8)).params == 12
    (tmp_path / "all.data").unlink()
    with pytest.raises(OnnxError, match="values of 'shape' cannot be read") as error:
        trace(read_onnx(path), (3, 8, 8))
    assert "\n" not in str(error.value)


BRANCH = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["b"])],
    "branch",
    [],
    [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3])],
)
RELU = helper.make_node("Relu", ["x"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "settings", "message"),
    [
        ([RELU], {"opset": 5}, "has opset 5, but only 7 to"),
        ([RELU], {"opset": 99}, "has opset 99, but only 7 to .* can be read: upgrade the package onnx"),
        ([RELU], {"values": {"x": [1, 3, 16, 16]}}, "takes images of 3x16x16, not 3x8x8: give that size"),
        ([RELU], {"values": {"x": [1, 27]}}, "takes images of 27, not 3x8x8"),
        ([RELU], {"values": {"x": [4, 3, 8, 8]}}, "takes 4 images at once"),
        (
            [RELU],
            {"values": {"z": [1]}, "inputs": ["x", "z"]},
            r"takes 2 inputs \(x, z\): give a network that takes one",
        ),
        ([], {}, "contains no network"),
        (
            [
                helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True))),
                helper.make_node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH),
            ],
            {},
            "has If, whose branches are not one graph",
        ),
        ([helper.make_node("Relu", ["gone"], ["y"])], {}, "no operation computes 'gone', which another reads"),
        (
            [helper.make_node("NonZero", ["x"], ["y"])],
            {},
            "the output size of NonZero .* depends on the values of the image",
        ),
        (
            [helper.make_node("Twist", ["x"], ["y"], domain="my.ops")],
            {},
            "the output size of Twist of my.ops .* is unknown",
        ),
        (
            [helper.make_node("Cast", ["x"], ["s"], to=7), helper.make_node("Reshape", ["x", "s"], ["y"])],
            {},
            "the output size of Reshape .* depends on the values of the image",
        ),
        (
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            {"arrays": {"w": np.ones((7, 2), np.float32)}},
            "cannot run on",
        ),
    ],
)
def test_errors_are_one_line(nodes: list[Any], settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, nodes, **settings)
    with pytest.raises(OnnxError, match=message) as error:
        trace(read_onnx(path), (3, 8, 8))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_an_incomplete_file_and_a_missing_one(tmp_path: Path) -> None:
    path = write_model(tmp_path, [RELU])
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"no protobuf at all", b""):
        path.write_bytes(damaged)
        with pytest.raises(OnnxError, match=r"is not an ONNX file, or is incomplete|contains no network"):
            read_onnx(path)
    with pytest.raises(OnnxError, match="No such file or directory: name an ONNX file"):
        read_onnx(tmp_path / "nothing.onnx")


def test_a_flipped_bit_gives_a_graph_or_an_error_in_one_line(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2]), helper.make_node("Relu", ["a"], ["y"])]
    path = write_model(tmp_path, nodes, {"w": np.ones((4, 3, 1, 1), np.float32)})
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        flipped = bytes([content[position] ^ 1 << position % 8])
        path.write_bytes(content[:position] + flipped + content[position + 1 :])
        with suppress(AIOPError):  # any other error is a bug
            structure_hash(path)
            trace(read_onnx(path), (3, 8, 8))


def test_a_missing_package_is_an_error_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path, [RELU])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OnnxError, match=r"pip install 'aiop-orchestrator\[onnx\]'"):
        read_onnx(path)
