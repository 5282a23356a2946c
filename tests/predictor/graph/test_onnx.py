"""ONNX files: the same graph as the module they were exported from, or one line that says why there is none."""

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
from predictor.graph.from_onnx import identity
from tests.support.graph_modules import Of

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters' own
LEGACY = {"dynamo": False, "training": torch.onnx.TrainingMode.PRESERVE}
DYNAMO = {"dynamo": True, "optimize": False, "external_data": False, "verbose": False}


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def exported(network: nn.Module, side: int, path: Path, **how: Any) -> Path:
    """The network as a file, with weights that differ from each other as after training: exporters merge equal ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in network.parameters():
            nn.init.normal_(weight)
    torch.onnx.export(network.eval(), (torch.zeros(1, 3, side, side),), str(path), **how)
    return path


def test_a_file_gives_the_graph_of_its_module(tmp_path: Path) -> None:
    network = timm.create_model("mobilenetv3_small_050")
    path = exported(network, 32, tmp_path / "net.onnx", **LEGACY)
    assert trace(read_onnx(path), (3, 32, 32)).id == trace(network, (3, 32, 32)).id


FAMILIES = (
    "resnet18:64 mobilenetv3_small_050:64 efficientnet_b0:64 convnext_atto:64 vit_tiny_patch16_224:224 regnetx_002:64 "
    "mixer_s32_224:224 ghostnet_100:64"
)


@pytest.mark.slow
def test_where_a_value_is_split_by_its_size(tmp_path: Path) -> None:
    network = timm.create_model("edgenext_xx_small")
    path = exported(network, 256, tmp_path / "net.onnx", **LEGACY)
    assert trace(read_onnx(path), (3, 256, 256)).id == trace(network, (3, 256, 256)).id


@pytest.mark.slow
def test_swin_but_for_what_the_exporter_computes(tmp_path: Path) -> None:
    """Biases of positions are looked up at export, so their tables' sizes are those of what was looked up."""
    network = timm.create_model("swin_tiny_patch4_window7_224")
    found = trace(read_onnx(exported(network, 224, tmp_path / "net.onnx", **LEGACY)), (3, 224, 224))
    own = trace(network, (3, 224, 224))
    assert [replace(node, params=0) for node in found.nodes] == [replace(node, params=0) for node in own.nodes]
    assert {own.nodes[n].op for n, node in enumerate(found.nodes) if node.params != own.nodes[n].params} == {"add"}


@pytest.mark.slow
@pytest.mark.parametrize("how", [LEGACY, DYNAMO], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("spec", FAMILIES.split())
def test_families_of_timm(spec: str, how: dict[str, Any], tmp_path: Path) -> None:
    name, _, side = spec.partition(":")
    network, size = timm.create_model(name), (3, int(side), int(side))
    path = exported(network, int(side), tmp_path / "net.onnx", **how)
    assert trace(read_onnx(path), size).id == trace(network, size).id


def attention(m: Any, x: Tensor) -> Tensor:
    tokens = m.norm(x.flatten(2).transpose(1, 2))
    q, k, v = m.qkv(tokens).reshape(1, 64, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
    return m.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)) + tokens


PIECES = {
    "conv": Of(lambda m, x: m.c(x), c=nn.Conv2d(3, 6, 3, 2, 2, dilation=2, groups=3)),
    "transposed": Of(lambda m, x: m.c(x), c=nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=False)),
    "norms": Of(lambda m, x: m.i(m.g(m.b(x))), b=nn.BatchNorm2d(3), g=nn.GroupNorm(3, 3), i=nn.InstanceNorm2d(3)),
    "activations": Of(
        lambda m, x: F.mish(F.silu(F.gelu(F.hardswish(F.relu6(F.leaky_relu(F.elu(m.p(x))))))).sigmoid().tanh()),
        p=nn.PReLU(3),
    ),
    "pools": Of(lambda m, x: F.avg_pool2d(F.max_pool2d(x, 3, 2, 1), 2, ceil_mode=True).mean((2, 3))),
    "attention": Of(attention, norm=nn.LayerNorm(3), qkv=nn.Linear(3, 24), out=nn.Linear(8, 3)),
    "parts": Of(lambda m, x: torch.cat([p * (n + 2) for n, p in enumerate(x.chunk(2, 2))], 2)),
    "roll": Of(lambda m, x: x.roll((-1, 2), (2, 3)).exp()),
    "strides": Of(lambda m, x: torch.cat([x[:, :, ::2, ::2], x[:, :, 1::2, ::2].flip(3)], 1)),
    "resize": Of(lambda m, x: F.interpolate(F.interpolate(x, scale_factor=2), size=(6, 5), mode="bilinear")),
    "shuffle": Of(lambda m, x: F.pixel_shuffle(m.c(x), 2), c=nn.Conv2d(3, 8, 1)),
    "arithmetic": Of(lambda m, x: (1 - x) / (x.abs().sqrt() + 2) ** 2 - torch.maximum(x, -x).log().clamp(min=0)),
    "reductions": Of(
        lambda m, x: x.amax((2, 3)) + F.normalize(x, dim=1).sum((2, 3)) + x.flatten(2).softmax(-1)[..., 0]
    ),
    "picks": Of(lambda m, x: x[:, torch.tensor([2, 0])] + x.select(1, 1)),
    "padding": Of(lambda m, x: F.pad(F.pad(x, (1, 2, 0, 1)), (1, 1, 1, 1), mode="reflect").relu()),
    "shared": Of(lambda m, x: m.c(m.c(x)), c=nn.Conv2d(3, 3, 1)),
    "outputs": Of(lambda m, x: (x.relu(), m.c(x)), c=nn.Conv2d(3, 4, 1)),
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces(name: str, tmp_path: Path) -> None:
    path = exported(PIECES[name], 8, tmp_path / "net.onnx", **LEGACY)
    assert trace(read_onnx(path), (3, 8, 8)) == trace(PIECES[name], (3, 8, 8))


@pytest.mark.parametrize("opset", [13, 16])
def test_what_older_versions_take_apart_is_put_together(opset: int, tmp_path: Path) -> None:
    network = Of(
        lambda m, x: F.gelu(m.n(F.hardswish(m.g(m.c(x))).permute(0, 2, 3, 1))),
        c=nn.Conv2d(3, 4, 1),
        g=nn.GroupNorm(2, 4),
        n=nn.LayerNorm(4),
    )
    path = exported(network, 8, tmp_path / "net.onnx", **LEGACY, opset_version=opset)
    found = trace(read_onnx(path), (3, 8, 8))
    assert ops(found) == ["input", "conv", "group_norm", "hard_swish", "layer_norm", "gelu", "output"]
    assert found == trace(network, (3, 8, 8))


@pytest.mark.slow  # it takes ten seconds to load
@pytest.mark.parametrize("optimize", [False, True])
def test_the_other_exporter(optimize: bool, tmp_path: Path) -> None:
    network = Of(
        lambda m, x: m.head(m.n(F.silu(m.c(x)).mean((2, 3)))),
        c=nn.Conv2d(3, 8, 3),
        n=nn.LayerNorm(8),
        head=nn.Linear(8, 2),
    )
    path = exported(network, 8, tmp_path / "net.onnx", **DYNAMO | {"optimize": optimize})
    assert trace(read_onnx(path), (3, 8, 8)).id == trace(network, (3, 8, 8)).id


def test_batch_norms_that_the_exporter_folds_are_gone(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t")
    path = exported(network, 32, tmp_path / "net.onnx", dynamo=False)
    found, own = trace(read_onnx(path), (3, 32, 32)), trace(network, (3, 32, 32))
    assert ops(found) == [op for op in ops(own) if op != "batch_norm"]
    assert found.flops == own.flops
    assert abs(found.params / own.params - 1) < 0.01  # a bias in place of weight and bias


def test_a_file_for_any_size_takes_the_one_that_is_given(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    axes = {"image": {0: "batch", 2: "height", 3: "width"}}
    path = exported(network, 32, tmp_path / "net.onnx", **LEGACY, input_names=["image"], dynamic_axes=axes)
    for size in ((3, 32, 32), (3, 16, 24)):
        assert trace(read_onnx(path), size).id == trace(network, size).id


def made(folder: Path, nodes: list[Any], arrays: dict[str, Any] | None = None, **how: Any) -> Path:
    """A file of these nodes from `x`, (1, 3, 8, 8), to `y`."""
    values = {"x": [1, 3, 8, 8], "y": None} | how.pop("values", {})
    typed = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()}
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()]
    inputs = [typed[name] for name in how.pop("inputs", ["x"])]
    between = [value for name, value in typed.items() if name not in ("x", "y")]
    graph = helper.make_graph(nodes, "net", inputs, [typed["y"]], stored, value_info=between)
    opsets = [helper.make_opsetid("", how.pop("opset", 18)), helper.make_opsetid("my.ops", 1)]
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets), str(path), **how)
    return path


def test_what_nobody_listed_is_kept(tmp_path: Path) -> None:
    """By ONNX's own rules, or by what the file says of its size."""
    weight = np.ones((4, 3), np.float32)
    nodes = [
        helper.make_node("Hardmax", ["x"], ["a"]),
        helper.make_node("Twist", ["a", "w"], ["b"], domain="my.ops"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    found = trace(read_onnx(made(tmp_path, nodes, {"w": weight}, values={"b": ["batch", 4, 2, 2]})), (3, 8, 8))
    assert ops(found) == ["input", "other", "other", "relu", "output"]
    assert [node.inputs for node in found.nodes] == [(), (0,), (1,), (2,), (3,)]
    assert [node.params for node in found.nodes] == [0, 0, 12, 0, 0]
    assert (found.nodes[2].channels_out, found.nodes[2].positions_out) == (4, 4)


def test_the_identity_is_that_of_the_network_not_of_its_weights(tmp_path: Path) -> None:
    def of(weight: float, name: str, kernel: int = 3) -> str:
        array = np.full((4, 3, kernel, kernel), weight, np.float32)
        node = helper.make_node("Conv", ["x", name], ["y"], name=name, doc_string=name)
        return identity(made(tmp_path, [node], {name: array}))

    assert of(1.0, "a") == of(2.0, "b")
    assert of(1.0, "a") != of(1.0, "a", kernel=1)


def test_weights_need_not_be_there_and_constants_must(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Reshape", ["a", "shape"], ["y"])]
    arrays = {"w": np.ones((4, 3, 1, 1), np.float32), "shape": np.array([1, 4, 64])}
    settings = {"save_as_external_data": True, "convert_attribute": False}
    path = made(tmp_path, nodes, arrays, **settings, location="net.data", size_threshold=70)
    (tmp_path / "net.data").unlink()
    assert trace(read_onnx(path), (3, 8, 8)).params == 12
    path = made(tmp_path, nodes, arrays, **settings, location="all.data", size_threshold=0)
    assert trace(read_onnx(path), (3, 8, 8)).params == 12
    (tmp_path / "all.data").unlink()
    with pytest.raises(OnnxError, match="values of 'shape' cannot be read") as refusal:
        trace(read_onnx(path), (3, 8, 8))
    assert "\n" not in str(refusal.value)


BRANCH = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["b"])],
    "branch",
    [],
    [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3])],
)
RELU = helper.make_node("Relu", ["x"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "how", "says"),
    [
        ([RELU], {"opset": 5}, "is of opset 5, and 7 to"),
        ([RELU], {"opset": 99}, "is of opset 99, and 7 to .* are known: upgrade the package onnx"),
        ([RELU], {"values": {"x": [1, 3, 16, 16]}}, "takes images of 3x16x16, not 3x8x8: give that size"),
        ([RELU], {"values": {"x": [1, 27]}}, "takes images of 27, not 3x8x8"),
        ([RELU], {"values": {"x": [4, 3, 8, 8]}}, "takes 4 images at once"),
        (
            [RELU],
            {"values": {"z": [1]}, "inputs": ["x", "z"]},
            r"takes 2 inputs \(x, z\): give a network that takes one",
        ),
        ([], {}, "holds no network"),
        (
            [
                helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True))),
                helper.make_node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH),
            ],
            {},
            "has If, whose parts are no one graph",
        ),
        ([helper.make_node("Relu", ["gone"], ["y"])], {}, "nothing makes 'gone', which is read"),
        ([helper.make_node("NonZero", ["x"], ["y"])], {}, "what NonZero makes .* depends on the values of the image"),
        ([helper.make_node("Twist", ["x"], ["y"], domain="my.ops")], {}, "what Twist of my.ops makes .* is not told"),
        (
            [helper.make_node("Cast", ["x"], ["s"], to=7), helper.make_node("Reshape", ["x", "s"], ["y"])],
            {},
            "what Reshape makes .* depends on the values of the image",
        ),
        (
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            {"arrays": {"w": np.ones((7, 2), np.float32)}},
            "cannot run on",
        ),
    ],
)
def test_what_gives_no_graph_says_why_in_one_line(
    nodes: list[Any], how: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = made(tmp_path, nodes, **how)
    with pytest.raises(OnnxError, match=says) as refusal:
        trace(read_onnx(path), (3, 8, 8))
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_torn_file_and_none(tmp_path: Path) -> None:
    path = made(tmp_path, [RELU])
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no protobuf at all", b""):
        path.write_bytes(content)
        with pytest.raises(OnnxError, match=r"is no ONNX file, or was cut off|holds no network"):
            read_onnx(path)
    with pytest.raises(OnnxError, match="No such file or directory: name an ONNX file"):
        read_onnx(tmp_path / "nothing.onnx")


def test_a_flipped_byte_is_a_graph_or_one_line(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2]), helper.make_node("Relu", ["a"], ["y"])]
    path = made(tmp_path, nodes, {"w": np.ones((4, 3, 1, 1), np.float32)})
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with suppress(AIOPError):  # anything else is a mistake of ours
            identity(path)
            trace(read_onnx(path), (3, 8, 8))


def test_without_the_package_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path, [RELU])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OnnxError, match=r"pip install 'aiop-orchestrator\[onnx\]'"):
        read_onnx(path)
