"""Read an ONNX file: its operations, the sizes of its weights and the values of its constants."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from predictor.errors import AIOPError
from predictor.foreign_content import foreign_content
from predictor.graph.from_onnx.call import Operation

MIN_OPSET = 7  # the first version whose operations broadcast as torch's do
ONNX_DOMAINS = ("", "ai.onnx")
_WEIGHT_TYPES = frozenset((1, 2, 3, 10, 11, 16, 17, 18, 19, 20))  # real numbers, and 8-bit types for quantised ones
# Inputs that are weights, even if they have a single value.
_WEIGHT_INPUTS = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "PRelu": (1,)}
_WEIGHT_INPUTS |= dict.fromkeys(("BatchNormalization", "LayerNormalization"), (1, 2))
_WEIGHT_INPUTS |= dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2, 3))
_STATISTICS_INPUTS = (3, 4)  # of a batch norm: mean and variance, which are not weights
_MAX_VALUES = 64  # the values of larger arrays of real numbers are not read


class OnnxError(AIOPError):
    """An ONNX file that cannot be read or traced."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """The content of an ONNX file.

    path: for messages. image, size, kind: name of the input, its shape (None for a free dimension) and its data type.
    arrays: weights and constants by name. weights: the arrays that count as parameters. valued: the arrays whose values
    may be read; of the others only sizes are used. shapes: types of other values, as far as the file contains them.
    version: opset version.
    """

    path: Path
    operations: tuple[Operation, ...]
    image: str
    size: tuple[int | None, ...]
    kind: int
    outputs: tuple[str, ...]
    arrays: Mapping[str, Any]
    weights: frozenset[str]
    valued: frozenset[str]
    shapes: Mapping[str, Any]
    version: int

    def values(self, name: str) -> Any:
        """Return a constant's values as a NumPy array. Raises OnnxError if the file that contains them is missing."""
        try:
            return onnx_package("numpy_helper").to_array(self.arrays[name], str(self.path.parent))
        except Exception as error:  # onnx raises many types
            raise OnnxError(
                f"{self.path}: values of '{name}' cannot be read ({_one_line(error)}): keep its data files next to it"
            ) from None


def onnx_package(module: str = "") -> Any:
    """Import the package `onnx`, or a module of it. Raises OnnxError if it is not installed."""
    try:
        return importlib.import_module(f"onnx.{module}" if module else "onnx")
    except ImportError:
        raise OnnxError("reading ONNX files needs the package onnx: pip install 'aiop-orchestrator[onnx]'") from None


@contextmanager
def as_onnx_errors(path: Path) -> Iterator[None]:
    """Raise every error in the block, which is caused by the content of the file, as an OnnxError."""
    try:
        yield
    except AIOPError:
        raise
    except Exception as error:  # a damaged file may cause any error
        raise OnnxError(f"{path}: is damaged ({type(error).__name__}: {_one_line(error)}): export it again") from error


def read_file(path: Path) -> OnnxFile:
    """Read a file. Raises OnnxError if it is not an ONNX file, or not a network with one image as input."""
    with as_onnx_errors(path):
        return _read(path)


def _read(path: Path) -> OnnxFile:
    model = _parse(path)
    version = _version(path, model)
    if model.functions:
        model = onnx_package("inliner").inline_local_functions(model)
    graph = _with_shapes(model).graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    stored = set(arrays)
    operations = list(_operations(path, graph, arrays, stored))
    statistics = {op.inputs[n] for op in operations if op.kind == "BatchNormalization" for n in _STATISTICS_INPUTS}
    images = [value for value in graph.input if value.name not in arrays]
    if len(images) != 1:
        names = ", ".join(value.name for value in images) or "none"
        raise OnnxError(f"{path}: takes {len(images)} inputs ({names}): give a network that takes one image")
    image_type = images[0].type.tensor_type
    size = tuple(d.dim_value if d.HasField("dim_value") else None for d in image_type.shape.dim)
    return OnnxFile(
        path=path,
        operations=tuple(operations),
        image=images[0].name,
        size=size,
        kind=image_type.elem_type,
        outputs=tuple(value.name for value in graph.output),
        arrays=arrays,
        weights=frozenset(find_weights(operations, arrays, stored - statistics)),
        valued=frozenset(name for name, array in arrays.items() if has_values(array) and name not in statistics),
        shapes={value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)},
        version=version,
    )


def structure_hash(path: Path) -> str:
    """Return 16 hexadecimal digits of a hash of the file's content without values of weights and names.

    It is the same for the same network exported again, trained or not. Raises OnnxError like `read_file`.
    """
    file = read_file(path)
    with as_onnx_errors(path):
        return _structure_hash(file)


def _structure_hash(file: OnnxFile) -> str:
    numbers = {file.image: 0}  # names of values in the order of their first use
    digest = hashlib.sha256(repr((file.size, file.kind)).encode())
    for operation in file.operations:
        for name in (*operation.inputs, *operation.outputs):
            if name not in numbers:
                numbers[name] = len(numbers)
                digest.update(_content(file, name))
        settings = {name: _to_json(value) for name, value in operation.attributes.items()}
        links = [[numbers[name] for name in names] for names in (operation.inputs, operation.outputs)]
        digest.update(json.dumps([operation.domain, operation.kind, links, settings], sort_keys=True).encode())
    digest.update(repr([numbers.get(name) for name in file.outputs]).encode())
    return digest.hexdigest()[:16]


def _parse(path: Path) -> Any:
    onnx = onnx_package()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OnnxError(f"{path}: {error.strerror or error}: name an ONNX file") from None
    if (other := foreign_content(content)) is not None:
        raise OnnxError(f"{path}: is {other}")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the types of protobuf's errors differ between its versions
        raise OnnxError(
            f"{path}: is not an ONNX file, or is incomplete ({_one_line(error)}): export it again"
        ) from None
    if not model.graph.node:
        raise OnnxError(f"{path}: contains no network: export it again")
    return model


def _version(path: Path, model: Any) -> int:
    newest = onnx_package("defs").onnx_opset_version()
    version = next((opset.version for opset in model.opset_import if opset.domain in ONNX_DOMAINS), 1)
    if not MIN_OPSET <= version <= newest:
        remedy = "upgrade the package onnx" if version > newest else "convert it with onnx.version_converter"
        raise OnnxError(
            f"{path}: has opset {version}, but only {MIN_OPSET} to {newest} can be read: {remedy}, or export it again"
        )
    return int(version)


def _with_shapes(model: Any) -> Any:
    """Infer the shapes of more values, for one image. Drops the values of weights, which are never read."""
    for tensor in model.graph.initializer:
        if not has_values(tensor):
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 1:  # some exporters write unknown sizes as -1 or 0
                dim.ClearField("dim_value")
    for value in model.graph.input:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = value.type.tensor_type.shape.dim[0].dim_value or 1
    try:
        return onnx_package("shape_inference").infer_shapes(model, data_prop=True)
    except Exception:  # errors are reported when the network runs, which knows more shapes
        return model


def _operations(path: Path, graph: Any, arrays: dict[str, Any], stored: set[str]) -> Iterator[Operation]:
    """Yield the operations that compute. Adds constants to `arrays`, and copies of stored arrays to `stored` too."""
    helper = onnx_package("helper")
    for node in graph.node:
        try:
            attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        except ValueError as error:
            raise OnnxError(f"{path}: operation {node.op_type}: {_one_line(error)}: export it again") from None
        if node.domain in ONNX_DOMAINS and node.op_type == "Constant":
            arrays[node.output[0]] = _constant(attributes, helper)
        elif node.domain in ONNX_DOMAINS and node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
            stored |= {node.output[0]} if node.input[0] in stored else set()
        else:
            inputs = tuple(node.input)
            if node.op_type == "ConstantOfShape" and "value" in attributes:
                inputs += (f"{node.output[0]}:value",)
                arrays[inputs[-1]] = attributes.pop("value")
            domain = "" if node.domain in ONNX_DOMAINS else node.domain
            yield Operation(node.op_type, inputs, tuple(node.output), attributes, domain)


def _constant(attributes: Mapping[str, Any], helper: Any) -> Any:
    if "value" in attributes:
        return attributes["value"]
    (name, value), *_ = attributes.items()
    is_list = name.endswith("s")
    kind = {"value_int": 7, "value_float": 1}.get(name.rstrip("s"), 8)
    return helper.make_tensor("", kind, [len(value)] if is_list else [], value if is_list else [value])


def find_weights(operations: Iterable[Operation], arrays: Mapping[str, Any], stored: set[str]) -> Iterator[str]:
    """Yield the weights: stored arrays of two or more real numbers, and weight inputs of layers, stored or constant."""
    read_by_layers = {op.inputs[n] for op in operations for n in _WEIGHT_INPUTS.get(op.kind, ()) if n < len(op.inputs)}
    for name, array in arrays.items():
        if array.data_type in _WEIGHT_TYPES and (name in read_by_layers or (name in stored and prod(array.dims) > 1)):
            yield name


def has_values(array: Any) -> bool:
    return array.data_type not in _WEIGHT_TYPES or prod(array.dims) <= _MAX_VALUES


def _content(file: OnnxFile, name: str) -> bytes:
    """Return what the hash includes of a value: the size of a weight, the size and values of a constant."""
    if name not in file.arrays:
        return b""
    array = file.arrays[name]
    size = repr((array.data_type, list(array.dims))).encode()
    return size if name in file.weights or name not in file.valued else size + file.values(name).tobytes()


def _to_json(value: Any) -> Any:
    """Convert an attribute to a value that JSON can represent."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
