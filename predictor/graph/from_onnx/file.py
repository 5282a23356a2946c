"""What an ONNX file holds: its operations, the sizes of its weights, the values of its constants."""

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
from predictor.graph.from_onnx.call import Operation

OLDEST = 7  # version of ONNX's operations from which on they broadcast as torch's do
ONNX_DOMAINS = ("", "ai.onnx")
_WEIGHTS = frozenset((1, 2, 3, 10, 11, 16, 17, 18, 19, 20))  # types of real numbers, and of 8 bits that stand for them
_LEARNT = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "PRelu": (1,)}  # inputs, whatever their size
_LEARNT |= dict.fromkeys(("BatchNormalization", "LayerNormalization"), (1, 2))
_STATISTICS = (3, 4)  # inputs of a batch norm that are measured, not learnt
_SMALL = 64  # numbers; constants with more have a size and no values


class OnnxError(AIOPError):
    """A file that holds no network which can be traced."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """path: for messages. image, size: the input's name and its sizes, None where any will do. kind: its type.

    arrays: weights and constants by name. weights: those that count as learnt. valued: those whose values are read,
    where they are needed; of the others there are sizes. shapes: what the file says of other values. version: of ONNX's
    operations.
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
        """A constant's values, as a NumPy array. Raises OnnxError where they lie in another file, which is missing."""
        try:
            return onnx_package("numpy_helper").to_array(self.arrays[name], str(self.path.parent))
        except Exception as error:  # it says what is wrong with a file's content in many ways
            raise OnnxError(
                f"{self.path}: values of '{name}' cannot be read ({_line(error)}): keep the files of its data beside it"
            ) from None


def onnx_package(module: str = "") -> Any:
    """The package `onnx`, or a module of it. Raises OnnxError where it is not installed."""
    try:
        return importlib.import_module(f"onnx.{module}" if module else "onnx")
    except ImportError:
        raise OnnxError("ONNX files are read by the package onnx: pip install 'aiop-orchestrator[onnx]'") from None


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Whatever goes wrong with what a file says is an OnnxError."""
    try:
        yield
    except AIOPError:
        raise
    except Exception as error:  # what a file says may be anything
        raise OnnxError(f"{path}: is damaged ({type(error).__name__}: {_line(error)}): export it anew") from error


def read_file(path: Path) -> OnnxFile:
    """Raises OnnxError, in one line, for what is no ONNX file, or not one of a network that takes an image."""
    with telling(path):
        return _read(path)


def _read(path: Path) -> OnnxFile:
    model = _parsed(path)
    version = _version(path, model)
    if model.functions:
        model = onnx_package("inliner").inline_local_functions(model)
    graph = _with_shapes(model).graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    stored = set(arrays)
    operations = list(_operations(path, graph, arrays, stored))
    measured = {one.inputs[n] for one in operations if one.kind == "BatchNormalization" for n in _STATISTICS}
    images = [value for value in graph.input if value.name not in arrays]
    if len(images) != 1:
        names = ", ".join(value.name for value in images) or "none"
        raise OnnxError(f"{path}: takes {len(images)} inputs ({names}): give a network that takes one image")
    given = images[0].type.tensor_type
    sizes = tuple(d.dim_value if d.HasField("dim_value") else None for d in given.shape.dim)
    return OnnxFile(
        path=path,
        operations=tuple(operations),
        image=images[0].name,
        size=sizes,
        kind=given.elem_type,
        outputs=tuple(value.name for value in graph.output),
        arrays=arrays,
        weights=frozenset(_weights(operations, arrays, stored - measured)),
        valued=frozenset(name for name, array in arrays.items() if _is_small(array) and name not in measured),
        shapes={value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)},
        version=version,
    )


def identity(path: Path) -> str:
    """16 hexadecimal digits of all that a file says but the values of weights and the names of things.

    So the same network exported anew is the same, trained or not. Raises OnnxError as `read_file` does.
    """
    file = read_file(path)
    with telling(path):
        return _identity(file)


def _identity(file: OnnxFile) -> str:
    numbers = {file.image: 0}
    told = hashlib.sha256(repr((file.size, file.kind)).encode())
    for operation in file.operations:
        for name in (*operation.inputs, *operation.outputs):
            if name not in numbers:
                numbers[name] = len(numbers)
                told.update(_content(file, name))
        settings = {name: _plain(value) for name, value in operation.attributes.items()}
        places = [[numbers[name] for name in names] for names in (operation.inputs, operation.outputs)]
        told.update(json.dumps([operation.domain, operation.kind, places, settings], sort_keys=True).encode())
    told.update(repr([numbers.get(name) for name in file.outputs]).encode())
    return told.hexdigest()[:16]


def _parsed(path: Path) -> Any:
    onnx = onnx_package()
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise OnnxError(f"{path}: {error.strerror or error}: name an ONNX file") from None
    except Exception as error:  # protobuf's own errors differ with its version
        raise OnnxError(f"{path}: is no ONNX file, or was cut off ({_line(error)}): export it anew") from None
    if not model.graph.node:
        raise OnnxError(f"{path}: holds no network: export it anew")
    return model


def _version(path: Path, model: Any) -> int:
    known = onnx_package("defs").onnx_opset_version()
    found = next((one.version for one in model.opset_import if one.domain in ONNX_DOMAINS), 1)
    if not OLDEST <= found <= known:
        remedy = "upgrade the package onnx" if found > known else "convert it with onnx.version_converter"
        raise OnnxError(f"{path}: is of opset {found}, and {OLDEST} to {known} are known: {remedy}, or export it anew")
    return int(found)


def _with_shapes(model: Any) -> Any:
    """With the shapes of more values, for one image; without the values of weights, which are never read."""
    for tensor in model.graph.initializer:
        if not _is_small(tensor):
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    for value in model.graph.input:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = value.type.tensor_type.shape.dim[0].dim_value or 1
    try:
        return onnx_package("shape_inference").infer_shapes(model, data_prop=True)
    except Exception:  # it reads less than the network itself, which tells what is wrong when it runs
        return model


def _operations(path: Path, graph: Any, arrays: dict[str, Any], stored: set[str]) -> Iterator[Operation]:
    """Those that compute. Constants join `arrays`, as do copies of what is stored, which exporters make of equals."""
    helper = onnx_package("helper")
    for node in graph.node:
        try:
            attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        except ValueError as error:
            raise OnnxError(f"{path}: operation {node.op_type}: {_line(error)}: export it anew") from None
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
    several = name.endswith("s")
    kind = {"value_int": 7, "value_float": 1}.get(name.rstrip("s"), 8)
    return helper.make_tensor("", kind, [len(value)] if several else [], value if several else [value])


def _weights(operations: Iterable[Operation], arrays: Mapping[str, Any], stored: set[str]) -> Iterator[str]:
    """Real numbers, if more than one, that are stored as arrays, and what learning layers read wherever it is."""
    placed = {one.inputs[n] for one in operations for n in _LEARNT.get(one.kind, ()) if n < len(one.inputs)}
    for name, array in arrays.items():
        if array.data_type in _WEIGHTS and (name in placed or (name in stored and prod(array.dims) > 1)):
            yield name


def _is_small(array: Any) -> bool:
    return array.data_type not in _WEIGHTS or prod(array.dims) <= _SMALL


def _content(file: OnnxFile, name: str) -> bytes:
    """Of a weight its size, of a constant its values too."""
    if name not in file.arrays:
        return b""
    array = file.arrays[name]
    told = repr((array.data_type, list(array.dims))).encode()
    return told if name in file.weights or name not in file.valued else told + file.values(name).tobytes()


def _plain(value: Any) -> Any:
    """What JSON can hold of an attribute."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
