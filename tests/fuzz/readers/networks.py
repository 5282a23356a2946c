"""ONNX files and graphs in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from google.protobuf import json_format
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from predictor.graph import trace
from predictor.graph.from_onnx import read_onnx, structure_hash
from predictor.graph.structure import Graph
from tests.fuzz.mutation import as_json, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from tests.support.onnx_networks import OnnxBuilder

_SIZE = (3, 16, 16)


def _network() -> bytes:
    import tempfile

    net = OnnxBuilder()
    x = net.node("Relu", net.node("Conv", "x", net.weight(4, 3, 3, 3), net.weight(4), pads=[1, 1, 1, 1]))
    x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Add", net.node("Conv", x, net.weight(4, 2, 3, 3), pads=[1, 1, 1, 1], group=2), x)
    x = net.node("Resize", x, "", net.constant([1.0, 1.0, 2.0, 2.0], "float32"), mode="nearest")
    x = net.node("Concat", x, net.node("Sigmoid", x), axis=1)
    x = net.node("Slice", x, net.constant([0]), net.constant([6]), net.constant([1]))
    x = net.node("Reshape", net.node("GlobalAveragePool", x), net.constant([1, -1]))
    x = net.node("Gemm", x, net.weight(5, 6), net.weight(5), transB=1)
    with tempfile.TemporaryDirectory() as folder:
        return net.write(Path(folder) / "net.onnx", x, opset=17).read_bytes()


def _trace(path: Path) -> None:
    structure_hash(path)
    trace(read_onnx(path), _SIZE)


@reader
def onnx_bytes() -> Reader:
    valid = _network()

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "net.onnx", _trace)

    return Reader("onnx", valid, lambda: files(valid), open_reader, share=0.4)


@reader
def onnx_structure() -> Reader:
    """Spoil the operations, sizes and constants of a file that stays a valid message."""
    model = onnx.load_model_from_string(_network())
    valid = json_format.MessageToDict(model)

    def write(document: Any) -> bytes:
        try:
            return bytes(json_format.ParseDict(document, onnx.ModelProto()).SerializeToString())
        except Exception:  # protobuf raises many types
            return as_json(document)

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "net.onnx", _trace)

    return Reader("onnx", model.SerializeToString(), lambda: documents(valid, write), open_reader, share=0.4)


@reader
def onnx_numbers() -> Reader:
    """Spoil numbers only: attributes, sizes of weights and of the input, values of constants."""
    valid = _network()
    odd = st.sampled_from([0, 1, -1, 2, 7, 2**31, 2**40, 2**62, -(2**62), 2**63 - 1])
    changes = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 3), odd), min_size=1, max_size=3)

    def spoil(picked: list[tuple[int, int, int]]) -> bytes:
        model = onnx.load_model_from_string(valid)
        for which, where, number in picked:
            _set_number(model, which, where, number)
        return bytes(model.SerializeToString())

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "net.onnx", _trace)

    return Reader("onnx", valid, lambda: changes.map(spoil), open_reader, share=0.4)


def _set_number(model: Any, which: int, where: int, number: int) -> None:
    lists = [item.ints for node in model.graph.node for item in node.attribute if item.ints]
    lists += [tensor.dims for tensor in model.graph.initializer if tensor.dims]
    singles = [item for node in model.graph.node for item in node.attribute if item.type == onnx.AttributeProto.INT]
    dims = list(model.graph.input[0].type.tensor_type.shape.dim)
    constants = [t for t in model.graph.initializer if t.data_type == TensorProto.INT64]
    choice = which % (len(lists) + len(singles) + len(dims) + len(constants))
    if choice < len(lists):
        lists[choice][where % len(lists[choice])] = number
        return
    choice -= len(lists)
    if choice < len(singles):
        singles[choice].i = number
        return
    choice -= len(singles)
    if choice < len(dims):
        dims[choice].dim_value = number
        return
    tensor = constants[choice - len(dims)]
    values = numpy_helper.to_array(tensor).copy().reshape(-1)
    if len(values):
        values[where % len(values)] = number
    tensor.CopyFrom(numpy_helper.from_array(values.reshape(tuple(tensor.dims)), tensor.name))


@reader
def graph_json() -> Reader:
    from torch import nn

    graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)), _SIZE)
    document = json.loads(graph.to_json())

    def read(content: bytes) -> None:
        found = Graph.from_json(content.decode("utf-8", "replace"))
        str((found.id, found.flops, found.params, found.edges))

    def inputs() -> st.SearchStrategy[bytes]:
        return st.one_of(documents(document, as_json), documents(document, as_json), files(as_json(document)))

    return Reader("graph", graph.to_json().encode(), inputs, lambda folder: read)
