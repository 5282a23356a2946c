"""Constants of an ONNX file, and constant folding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from predictor.graph.from_onnx.call import DTYPES, TABLE, Call, Operation
from predictor.graph.from_onnx.file import OnnxFile, onnx_package

_MAX_FOLDED_SIZE = 10**6  # values; larger results are not folded
_NUMPY_TYPES = frozenset(DTYPES.values()) - {torch.bfloat16}


def constant(file: OnnxFile, name: str) -> Tensor:
    """Return a stored array as a tensor: with its values if `file.valued` contains it, else on the meta device."""
    array = file.arrays[name]
    kind = DTYPES.get(array.data_type, torch.float32)
    if name not in file.valued:
        return torch.empty(list(array.dims), dtype=kind, device="meta")
    values = file.values(name)
    return torch.from_numpy(values.astype(str(kind).removeprefix("torch.") if kind in _NUMPY_TYPES else "float32")).to(
        kind
    )


def fold_constants(file: OnnxFile) -> OnnxFile:
    """Return the file with every operation that depends on neither image nor weights replaced by its results."""
    arrays, valued, remaining = dict(file.arrays), set(file.valued - file.weights), list[Operation]()
    tensors = dict[str, Tensor]()

    def value(name: str) -> Tensor:
        if name not in tensors:
            tensors[name] = constant(file, name)
        return tensors[name]

    for operation in file.operations:
        outputs: Sequence[Tensor] = []
        if operation.kind == "Shape" and (shape := _shape(file, operation.inputs[0])) is not None:
            outputs = _run(operation, [torch.empty(shape, device="meta")], file)
        elif operation.inputs and all(name in valued or not name for name in operation.inputs):
            outputs = _run(operation, [value(name) if name else None for name in operation.inputs], file)
        if not outputs:
            remaining.append(operation)
        for name, tensor in zip(operation.outputs, outputs, strict=False):
            tensors[name], arrays[name] = tensor, onnx_package("numpy_helper").from_array(tensor.contiguous().numpy())
            valued.add(name)
    return replace(file, operations=tuple(remaining), arrays=arrays, valued=file.valued | valued)


def _shape(file: OnnxFile, name: str) -> list[int] | None:
    """Return the shape of a stored array, or of another value if the file contains its full shape; else None."""
    if name in file.arrays:
        return list(file.arrays[name].dims)
    kind = file.shapes[name].tensor_type if name in file.shapes else None
    if kind is None or not kind.HasField("shape") or not all(side.HasField("dim_value") for side in kind.shape.dim):
        return None
    return [side.dim_value for side in kind.shape.dim]


def _run(operation: Operation, inputs: Sequence[Tensor | None], file: OnnxFile) -> Sequence[Tensor]:
    """Return the outputs of an operation; none if it fails, since the error is reported when the network runs."""

    def input_values(number: int) -> list[Any]:
        tensor = inputs[number]
        return [] if tensor is None else tensor.flatten().tolist()

    if operation.domain or operation.kind not in TABLE:
        return []
    try:
        result = TABLE[operation.kind](Call(operation, inputs, input_values, file.version))
    except Exception:
        return []
    outputs = [result] if isinstance(result, Tensor) else list(result)
    fits = all(tensor.numel() <= _MAX_FOLDED_SIZE and tensor.dtype in _NUMPY_TYPES for tensor in outputs)
    return outputs if fits else []
