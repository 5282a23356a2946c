"""FLOPs of ONNX files equal torch's count of the module, or are marked as a lower bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from predictor.graph import Graph, read_onnx, trace
from predictor.graph.from_onnx import structure_hash
from tests.support.onnx_networks import RECURRENT_GATES, OnnxBuilder

Write = Callable[[OnnxBuilder, int], str]


def torch_flops(module: nn.Module) -> int:
    """Count with torch alone. On the meta device, where recurrent layers are not fused into one uncounted operation."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), counter:
        module.to("meta").eval()(torch.empty(1, 3, 16, 16, device="meta"))
    return int(counter.get_total_flops())


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.linear = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.second(self.first(x).relu()).mean((2, 3)))
        return out


def classifier(b: OnnxBuilder, x: str, weight: str, bias: str) -> str:
    return b.node("Gemm", b.node("Flatten", b.node("GlobalAveragePool", x)), weight, bias, transB=1)


def convolutional(b: OnnxBuilder, opset: int) -> str:
    x = b.node("Conv", "x", b.weight(8, 3, 3, 3), b.weight(8), pads=[1] * 4, strides=[2, 2])
    x = b.node("Conv", b.node("Relu", x), b.weight(8, 1, 3, 3), b.weight(8), pads=[1] * 4, group=8)
    return classifier(b, x, b.weight(10, 8), b.weight(10))


def qdq(b: OnnxBuilder, opset: int) -> str:
    bias = b.node("DequantizeLinear", b.weight(8, dtype="int32"), b.constant([0.1] * 8, "float32"), axis=0)
    x = b.node("Conv", b.quantised("x"), b.quantised_weight(8, 3, 3, 3), bias, pads=[1] * 4, strides=[2, 2])
    x = b.quantised(b.node("Relu", b.quantised(x)))
    x = b.node("Conv", x, b.quantised_weight(8, 1, 3, 3), b.weight(8), pads=[1] * 4, group=8)
    return b.quantised(classifier(b, b.quantised(x), b.quantised_weight(10, 8), b.weight(10)))


def qlinear(b: OnnxBuilder, opset: int) -> str:
    scale, zero = b.constant(0.1, "float32"), b.constant(0, "uint8")
    by_channel, zeros = b.constant([0.1] * 8, "float32"), b.constant([0] * 8, "int8")
    x = b.node("QuantizeLinear", "x", scale, zero)
    inputs = (
        scale,
        zero,
        b.weight(8, 3, 3, 3, dtype="int8"),
        by_channel,
        zeros,
        scale,
        zero,
        b.weight(8, dtype="int32"),
    )
    x = b.node("QLinearConv", x, *inputs, pads=[1] * 4, strides=[2, 2])
    inputs = (
        scale,
        zero,
        b.weight(8, 1, 3, 3, dtype="int8"),
        by_channel,
        zeros,
        scale,
        zero,
        b.weight(8, dtype="int32"),
    )
    x = b.node("QLinearConv", x, *inputs, pads=[1] * 4, group=8)
    x = b.node("Flatten", b.node("GlobalAveragePool", b.node("DequantizeLinear", x, scale, zero)))
    x = b.node("QuantizeLinear", x, scale, zero)
    x = b.node("QLinearMatMul", x, scale, zero, b.weight(8, 10, dtype="int8"), scale, zero, scale, zero)
    return b.node("Add", b.node("DequantizeLinear", x, scale, zero), b.weight(10))


def dynamic(b: OnnxBuilder, opset: int) -> str:
    def quantised(x: str) -> tuple[str, str, str]:
        x = b.node("DynamicQuantizeLinear", x, outputs=3)
        return x, b.output(x, 1), b.output(x, 2)

    def rescaled(sums: str, scale: str) -> str:
        return b.node(
            "Mul", b.node("Cast", sums, to=TensorProto.FLOAT), b.node("Mul", scale, b.constant(0.1, "float32"))
        )

    zero = b.constant(0, "int8")
    x, scale, point = quantised("x")
    weight = b.weight(8, 3, 3, 3, dtype="int8")
    x = b.node("ConvInteger", x, weight, point, zero, pads=[1] * 4, strides=[2, 2])
    x = b.node("Relu", b.node("Add", rescaled(x, scale), b.weight(1, 8, 1, 1)))
    x = b.node("Conv", x, b.weight(8, 1, 3, 3), b.weight(8), pads=[1] * 4, group=8)
    x, scale, point = quantised(b.node("Flatten", b.node("GlobalAveragePool", x)))
    sums = b.node("MatMulInteger", x, b.weight(8, 10, dtype="int8"), point, zero)
    return b.node("Add", rescaled(sums, scale), b.weight(10))


class Recurrent(nn.Module):
    def __init__(self, kind: str, bidirectional: bool) -> None:
        super().__init__()
        self.recurrent = getattr(nn, kind)(48, 8, bidirectional=bidirectional, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.recurrent(x.permute(0, 3, 1, 2).flatten(2))[0]
        return out


def recurrent(kind: str, direction: str, layout: int = 0) -> Write:
    def write(b: OnnxBuilder, opset: int) -> str:
        count, rows = 2 if direction == "bidirectional" else 1, 8 * RECURRENT_GATES[kind]
        x = b.node("Reshape", b.node("Transpose", "x", perm=[0, 3, 1, 2]), b.constant([1, 16, 48]))
        x = x if layout else b.node("Transpose", x, perm=[1, 0, 2])
        weights = b.weight(count, rows, 48), b.weight(count, rows, 8), b.weight(count, 2 * rows)
        settings = {"layout": 1} if layout else {}
        return b.node(kind, x, *weights, hidden_size=8, direction=direction, **settings)

    return write


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, -1)
        out: Tensor = self.out((q @ k.transpose(1, 2) * 0.25).softmax(-1) @ v)
        return out


def attending(as_one: bool) -> Write:
    def write(b: OnnxBuilder, opset: int) -> str:
        x = b.node("Conv", "x", b.weight(16, 3, 4, 4), b.weight(16), strides=[4, 4])
        x = b.node("Transpose", b.node("Reshape", x, b.constant([1, 16, 16])), perm=[0, 2, 1])

        def linear(x: str, width: int) -> str:
            return b.node("Add", b.node("MatMul", x, b.weight(16, width)), b.weight(width))

        q, k, v = linear(x, 16), linear(x, 16), linear(x, 16)
        if as_one:
            x = b.node("Attention", q, k, v, q_num_heads=1, kv_num_heads=1)
        else:
            scores = b.node("MatMul", q, b.node("Transpose", k, perm=[0, 2, 1]))
            scores = b.node("Mul", scores, b.weight(1))
            x = b.node("MatMul", b.node("Softmax", scores, axis=2), v)
        return linear(x, 16)

    return write


CASES: list[tuple[str, Write, Callable[[], nn.Module], int, int]] = [
    *((f"float-{opset}", convolutional, Convolutional, opset, TensorProto.FLOAT) for opset in range(7, 25)),
    *((f"half-{opset}", convolutional, Convolutional, opset, TensorProto.FLOAT16) for opset in (9, 13, 17, 20)),
    *((f"qdq-{opset}", qdq, Convolutional, opset, TensorProto.FLOAT) for opset in (13, 17, 19, 21)),
    *((f"qlinear-{opset}", qlinear, Convolutional, opset, TensorProto.FLOAT) for opset in (10, 13, 21)),
    *((f"dynamic-{opset}", dynamic, Convolutional, opset, TensorProto.FLOAT) for opset in (11, 14, 20)),
    *(
        (
            f"{kind}-{direction}",
            recurrent(kind, direction),
            lambda k=kind, d=direction: Recurrent(k, d == "bidirectional"),
            14,
            1,
        )
        for kind in RECURRENT_GATES
        for direction in ("forward", "reverse", "bidirectional")
    ),
    ("LSTM-batch-first", recurrent("LSTM", "bidirectional", 1), lambda: Recurrent("LSTM", True), 14, 1),
    *((f"attention-{opset}", attending(False), Attending, opset, TensorProto.FLOAT) for opset in (9, 13, 18)),
    ("attention-23", attending(True), Attending, 23, TensorProto.FLOAT),
]


@pytest.mark.parametrize(("write", "module", "opset", "kind"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_flops_equal_those_of_the_module(
    write: Write, module: Callable[[], nn.Module], opset: int, kind: int, tmp_path: Path
) -> None:
    graph = traced(write, opset, tmp_path, kind)
    network = module()
    assert (graph.flops, graph.uncounted) == (torch_flops(network), ())
    assert graph.params == sum(weight.numel() for weight in network.parameters())


def traced(write: Write, opset: int, folder: Path, kind: int = TensorProto.FLOAT) -> Graph:
    builder = OnnxBuilder(kind=kind)
    return trace(read_onnx(builder.write(folder / "net.onnx", write(builder, opset), opset)), (3, 16, 16))


@pytest.mark.parametrize("write", [qdq, qlinear, dynamic])
def test_a_quantised_file_has_the_graph_of_its_network_and_another_identity(write: Write, tmp_path: Path) -> None:
    float_graph = traced(convolutional, 13, tmp_path)
    identity = structure_hash(tmp_path / "net.onnx")
    graph = traced(write, 13, tmp_path)
    assert structure_hash(tmp_path / "net.onnx") != identity
    if write is qdq:
        assert graph.id == float_graph.id
    else:  # a bias is added after the product, as an operation, and integers are clipped without one
        ops, expected = ([node.op for node in g.nodes if node.op not in ("add", "relu")] for g in (graph, float_graph))
        assert ops == expected


def test_a_recurrent_layer_has_the_graph_of_the_module(tmp_path: Path) -> None:
    graph = traced(recurrent("GRU", "bidirectional"), 14, tmp_path)
    expected = trace(Recurrent("GRU", True), (3, 16, 16))
    assert [node.op for node in graph.nodes] == [node.op for node in expected.nodes]
    assert (graph.flops, graph.params) == (expected.flops, expected.params)


def unlisted(b: OnnxBuilder, opset: int) -> str:
    return b.node("Relu", b.node("Mystery", "x", b.weight(3, 3), domain="my"))


def peepholes(b: OnnxBuilder, opset: int) -> str:
    x = b.node("Reshape", b.node("Transpose", "x", perm=[3, 0, 1, 2]), b.constant([16, 1, 48]))
    weights = b.weight(1, 32, 48), b.weight(1, 32, 8), b.weight(1, 64), "", "", "", b.weight(1, 24)
    return b.node("LSTM", x, *weights, hidden_size=8)


@pytest.mark.parametrize(("write", "name"), [(unlisted, "my.Mystery"), (peepholes, "LSTM")])
def test_what_is_not_counted_is_named(write: Write, name: str, tmp_path: Path) -> None:
    builder = OnnxBuilder()
    result = write(builder, 14)
    path = builder.write(tmp_path / "net.onnx", result, 14, {"v0_0": [1, 3, 16, 16]} if name != "LSTM" else None)
    graph = trace(read_onnx(path), (3, 16, 16))
    assert graph.uncounted == (name,)
    assert graph.incomplete_flops == f"FLOPs are a lower bound: {name} not counted"
    assert Graph.from_json(graph.to_json()) == graph
    assert "uncounted" not in trace(Convolutional(), (3, 16, 16)).to_json()


def test_unread_results_do_not_make_flops_a_lower_bound(tmp_path: Path) -> None:
    builder = OnnxBuilder()
    unlisted(builder, 14)
    path = builder.write(tmp_path / "net.onnx", builder.node("Relu", "x"), 14)
    assert trace(read_onnx(path), (3, 16, 16)).uncounted == ()


class MatrixVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x: Tensor) -> Any:
        return torch.mv(x[0, 0], self.weight)


def test_products_that_torch_does_not_count_are_named() -> None:
    assert trace(MatrixVector(), (3, 16, 16)).uncounted == ("mv",)
