"""Constants of an ONNX file, and what is computed from them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from predictor.graph.from_onnx.call import DTYPES, TABLE, Call, Operation
from predictor.graph.from_onnx.file import OnnxFile, onnx_package

_LARGEST = 10**6  # numbers; what is larger is not computed
_NUMPY = frozenset(DTYPES.values()) - {torch.bfloat16}  # types that NumPy has too


def constant(file: OnnxFile, name: str) -> Tensor:
    """With its values where the file has them at hand, else on the meta device."""
    array = file.arrays[name]
    kind = DTYPES.get(array.data_type, torch.float32)
    if name not in file.valued:
        return torch.empty(list(array.dims), dtype=kind, device="meta")
    values = file.values(name)
    return torch.from_numpy(values.astype(str(kind).removeprefix("torch.") if kind in _NUMPY else "float32")).to(kind)


def computed(file: OnnxFile) -> OnnxFile:
    """The file with every operation that needs neither image nor weights replaced by what it makes."""
    arrays, valued, left = dict(file.arrays), set(file.valued - file.weights), list[Operation]()
    tensors = dict[str, Tensor]()

    def value(name: str) -> Tensor:
        if name not in tensors:
            tensors[name] = constant(file, name)
        return tensors[name]

    for operation in file.operations:
        made: Sequence[Tensor] = []
        if operation.kind == "Shape" and (shape := _shape(file, operation.inputs[0])) is not None:
            made = _run(operation, [torch.empty(shape, device="meta")], file)
        elif operation.inputs and all(name in valued or not name for name in operation.inputs):
            made = _run(operation, [value(name) if name else None for name in operation.inputs], file)
        if not made:
            left.append(operation)
        for name, tensor in zip(operation.outputs, made, strict=False):
            tensors[name], arrays[name] = tensor, onnx_package("numpy_helper").from_array(tensor.contiguous().numpy())
            valued.add(name)
    return replace(file, operations=tuple(left), arrays=arrays, valued=file.valued | valued)


def _shape(file: OnnxFile, name: str) -> list[int] | None:
    """Of a stored array, or of another value where the file tells it in full."""
    if name in file.arrays:
        return list(file.arrays[name].dims)
    kind = file.shapes[name].tensor_type if name in file.shapes else None
    if kind is None or not kind.HasField("shape") or not all(side.HasField("dim_value") for side in kind.shape.dim):
        return None
    return [side.dim_value for side in kind.shape.dim]


def _run(operation: Operation, given: Sequence[Tensor | None], file: OnnxFile) -> Sequence[Tensor]:
    """Nothing where it cannot be run, which is told when the network runs."""

    def known(number: int) -> list[Any]:
        tensor = given[number]
        return [] if tensor is None else tensor.flatten().tolist()

    if operation.domain or operation.kind not in TABLE:
        return []
    try:
        made = TABLE[operation.kind](Call(operation, given, known, file.version))
    except Exception:
        return []
    found = [made] if isinstance(made, Tensor) else list(made)
    fits = all(tensor.numel() <= _LARGEST and tensor.dtype in _NUMPY for tensor in found)
    return found if fits else []
