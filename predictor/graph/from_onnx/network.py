"""The network of an ONNX file as a torch module without values of weights, which is traced like any other module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from predictor.errors import AIOPError
from predictor.graph.from_onnx import arithmetic, layers, movement, recurrent  # noqa: F401 - their import fills TABLE
from predictor.graph.from_onnx.call import DTYPES, TABLE, Call, Operation, UnsupportedError
from predictor.graph.from_onnx.constants import constant, fold_constants
from predictor.graph.from_onnx.file import OnnxError, OnnxFile, as_onnx_errors, onnx_package, read_file
from predictor.graph.from_onnx.fusion import fuse_layers
from predictor.graph.from_onnx.quantization import dequantised

_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")  # their inner graphs also read values that are not inputs
_DTYPE_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}

# An operation that no function can run is recorded by the tracer under this name, and becomes a node `other`.
_LIBRARY: Any = torch.library.Library("aiop", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("unlisted(Tensor[] read, int[] ranks, int[] sizes, str kind) -> Tensor[]")


def _unlisted(read: Sequence[Tensor], ranks: Sequence[int], sizes: Sequence[int], kind: str) -> list[Tensor]:
    """Return empty tensors. ranks: of each; sizes: of all their axes in a row. kind: of the operation."""
    remaining, outputs = list(sizes), []
    for rank in ranks:
        outputs.append(torch.empty(remaining[:rank], device="meta"))
        remaining = remaining[rank:]
    return outputs


_LIBRARY.impl("unlisted", _unlisted, "Meta")


def read_onnx(path: str | Path) -> OnnxNetwork:
    """Read the network of a file, for `trace`. Values of weights are not read, and nothing is unpickled.

    Raises OnnxError if it is not an ONNX file, or not a network with one image as input.
    """
    file = read_file(Path(path))
    with as_onnx_errors(file.path):
        return OnnxNetwork(file)


class OnnxNetwork(nn.Module):
    """Runs on meta tensors only. Its parameters are the weights of the file, in their order."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self._file = file = fold_constants(dequantised(file))
        self._operations = fuse_layers(file)
        self._parameter_names: dict[str, str] = {}
        for number, name in enumerate(name for name in file.arrays if name in file.weights):
            array = file.arrays[name]
            weight = torch.empty(list(array.dims), dtype=DTYPES.get(array.data_type, torch.float32), device="meta")
            self._parameter_names[name] = f"weight{number}"
            self.register_parameter(f"weight{number}", nn.Parameter(weight, requires_grad=False))
        self._constants: dict[str, Tensor] = {}

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the outputs for an image, (1, channels, height, width). Raises OnnxError."""
        self._check_size(image)
        values = {self._file.image: image.to(DTYPES.get(self._file.kind, image.dtype))}
        for operation in self._operations:
            outputs = self._run(operation, values, image)
            values.update(zip(operation.outputs, outputs, strict=False))
        return [self._value(name, values) for name in self._file.outputs]

    def _check_size(self, image: Tensor) -> None:
        """Raise OnnxError if the file has a fixed input size that differs from the image."""
        batch, *expected = self._file.size if self._file.size else [None, None, None, None]
        actual = list(image.shape[1:])
        if len(expected) != 3 or any(side not in (None, own) for side, own in zip(expected, actual, strict=True)):
            sides = "x".join("any" if side is None else str(side) for side in expected)
            size = "x".join(map(str, actual))
            raise OnnxError(f"{self._file.path}: takes images of {sides}, not {size}: give that size")
        if batch not in (None, 1):
            raise OnnxError(
                f"{self._file.path}: takes {batch} images at once: export it for one, or with a dynamic batch axis"
            )

    def _value(self, name: str, values: dict[str, Tensor]) -> Tensor:
        """Return a value by name: computed, a weight or a constant. Raises OnnxError if there is none."""
        if name in values:
            return values[name]
        if name in self._parameter_names:
            weight: Tensor = getattr(self, self._parameter_names[name])
            return weight
        if name not in self._constants:
            if name not in self._file.arrays:
                raise OnnxError(
                    f"{self._file.path}: no operation computes '{name}', which another reads: export it again"
                )
            self._constants[name] = constant(self._file, name)
        return self._constants[name]

    def _run(self, operation: Operation, values: dict[str, Tensor], image: Tensor) -> Sequence[Tensor]:
        """Return the outputs of an operation. values: all values computed so far, by name."""
        inputs = [self._value(name, values) if name else None for name in operation.inputs]

        def input_values(number: int) -> list[Any]:
            tensor, name = inputs[number], operation.inputs[number]
            if tensor is not None and tensor.is_meta and name in self._file.valued:
                tensor = constant(self._file, name)
            if tensor is None or tensor.is_meta:
                raise OnnxError(self._unknown_size(operation))
            return tensor.flatten().tolist()

        try:
            if operation.domain == "" and operation.kind in TABLE:
                result = TABLE[operation.kind](Call(operation, inputs, input_values, self._file.version))
                return [result] if isinstance(result, Tensor) else result
            raise UnsupportedError
        except UnsupportedError:
            return self._run_unlisted(operation, inputs)
        except AIOPError:
            raise
        except Exception as error:  # a damaged file may cause any error
            size, text = "x".join(map(str, image.shape[1:])), " ".join(str(error).split())[:200]
            raise OnnxError(
                f"{self._file.path}: {operation.kind}, which computes '{operation.outputs[0]}', cannot run on an image "
                f"of {size} ({text}): give the size that it was exported for, or export it again"
            ) from error

    def _run_unlisted(self, operation: Operation, inputs: Sequence[Tensor | None]) -> Sequence[Tensor]:
        """Return outputs of the right sizes for an operation that no function can run."""
        if operation.kind in _CONTROL_FLOW and not operation.domain:
            raise OnnxError(
                f"{self._file.path}: has {operation.kind}, whose branches are not one graph: export it for one "
                "image size, or the part before it"
            )
        shapes = self._shapes(operation, inputs)
        present = [tensor.to("meta") for tensor in inputs if tensor is not None]
        ranks, sizes = [len(shape) for shape, _ in shapes], [side for shape, _ in shapes for side in shape]
        arguments = ranks, sizes, f"{operation.domain}.{operation.kind}".lstrip(".")
        outputs = torch.ops.aiop.unlisted(present, *arguments) if present else _unlisted([], *arguments)
        return [tensor.to(dtype) for tensor, (_, dtype) in zip(outputs, shapes, strict=True)]

    def _shapes(self, operation: Operation, inputs: Sequence[Tensor | None]) -> list[tuple[list[int], torch.dtype]]:
        """Return shape and type of all outputs, inferred by ONNX's rules or else read from the file."""
        types = dict(self._file.shapes) | (self._infer_types(operation, inputs) if not operation.domain else {})
        shapes = []
        for name in operation.outputs:
            tensor_type = types[name].tensor_type if name in types else None
            if tensor_type is None or not tensor_type.HasField("shape"):
                raise OnnxError(self._unknown_size(operation))
            # A dynamic batch axis has size 1 here; another dynamic axis is an unknown size, 0.
            dims = tensor_type.shape.dim
            sides = [dim.dim_value if dim.HasField("dim_value") else 1 - bool(axis) for axis, dim in enumerate(dims)]
            if 0 in sides:
                raise OnnxError(self._unknown_size(operation))
            shapes.append((sides, DTYPES.get(tensor_type.elem_type, torch.float32)))
        return shapes

    def _infer_types(self, operation: Operation, inputs: Sequence[Tensor | None]) -> dict[str, Any]:
        """Return the types of the outputs by ONNX's rules; empty if it has no rule."""
        onnx, helper = onnx_package(), onnx_package("helper")
        present = {name: t for name, t in zip(operation.inputs, inputs, strict=True) if t is not None}
        types = {
            n: helper.make_tensor_type_proto(_DTYPE_NUMBERS.get(t.dtype, 1), list(t.shape)) for n, t in present.items()
        }
        values = {n: onnx.numpy_helper.from_array(t.numpy(), n) for n, t in present.items() if not t.is_meta}
        node = helper.make_node(operation.kind, operation.inputs, operation.outputs, **operation.attributes)
        try:
            schema = onnx.defs.get_schema(operation.kind, self._file.version, "")
            infer = onnx_package("shape_inference").infer_node_outputs
            opsets = [helper.make_opsetid("", self._file.version)]
            inferred: dict[str, Any] = infer(schema, node, types, values, opset_imports=opsets)
        except Exception:  # no rule; the caller reports it if the file has no shape either
            return {}
        return inferred

    def _unknown_size(self, operation: Operation) -> str:
        domain = f" of {operation.domain}" if operation.domain else ""
        return (
            f"{self._file.path}: the output size of {operation.kind}{domain} ('{operation.outputs[0]}') is unknown or "
            "depends on the values of the image: export the part before it, or with all shapes"
        )
