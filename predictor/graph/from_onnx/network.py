"""A network in an ONNX file as a module of torch without weights, so that it is traced like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from predictor.errors import AIOPError
from predictor.graph.from_onnx import arithmetic, layers, movement  # noqa: F401 - they fill the table
from predictor.graph.from_onnx.call import DTYPES, TABLE, Call, Operation, UnsupportedError
from predictor.graph.from_onnx.constants import computed, constant
from predictor.graph.from_onnx.file import OnnxError, OnnxFile, onnx_package, read_file, telling
from predictor.graph.from_onnx.folding import folded

_BRANCHING = ("If", "Loop", "Scan", "SequenceMap")  # what they run reads more than they say
_NUMBERS = {kind: number for number, kind in DTYPES.items()}

# What nobody listed is seen by the tracer under this name, which is in no vocabulary.
_LIBRARY: Any = torch.library.Library("aiop", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("unlisted(Tensor[] read, int[] ranks, int[] sizes) -> Tensor[]")


def _unlisted(read: Sequence[Tensor], ranks: Sequence[int], sizes: Sequence[int]) -> list[Tensor]:
    left, made = list(sizes), []
    for rank in ranks:
        made.append(torch.empty(left[:rank], device="meta"))
        left = left[rank:]
    return made


_LIBRARY.impl("unlisted", _unlisted, "Meta")


def read_onnx(path: str | Path) -> OnnxNetwork:
    """The network of a file, to be given to `trace`. Values of weights are not read, and nothing is unpickled.

    Raises OnnxError, in one line, for what is no ONNX file, or not one of a network that takes one image.
    """
    file = read_file(Path(path))
    with telling(file.path):
        return OnnxNetwork(file)


class OnnxNetwork(nn.Module):
    """Runs on meta tensors only. Its parameters are the file's weights, in their order there."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self._file = file = computed(file)
        self._operations = folded(file)
        self._places: dict[str, str] = {}
        for number, name in enumerate(name for name in file.arrays if name in file.weights):
            array = file.arrays[name]
            weight = torch.empty(list(array.dims), dtype=DTYPES.get(array.data_type, torch.float32), device="meta")
            self._places[name] = f"weight{number}"
            self.register_parameter(f"weight{number}", nn.Parameter(weight, requires_grad=False))
        self._constants: dict[str, Tensor] = {}

    def forward(self, image: Tensor) -> list[Tensor]:
        """(1, channels, height, width) to the file's outputs. Raises OnnxError."""
        self._check(image)
        values = {self._file.image: image.to(DTYPES.get(self._file.kind, image.dtype))}
        for operation in self._operations:
            made = self._made(operation, values, image)
            values.update(zip(operation.outputs, made, strict=False))
        return [self._value(name, values) for name in self._file.outputs]

    def _check(self, image: Tensor) -> None:
        """Sizes that the file fixes."""
        batch, *wanted = self._file.size if self._file.size else [None, None, None, None]
        sides = "x".join("any" if side is None else str(side) for side in wanted)
        if len(wanted) != 3 or any(side not in (None, is_) for side, is_ in zip(wanted, image.shape[1:], strict=True)):
            found = "x".join(map(str, image.shape[1:]))
            raise OnnxError(f"{self._file.path}: takes images of {sides}, not {found}: give that size")
        if batch not in (None, 1):
            raise OnnxError(f"{self._file.path}: takes {batch} images at once: export it for one, or for any number")

    def _value(self, name: str, values: dict[str, Tensor]) -> Tensor:
        if name in values:
            return values[name]
        if name in self._places:
            weight: Tensor = getattr(self, self._places[name])
            return weight
        if name not in self._constants:
            if name not in self._file.arrays:
                raise OnnxError(f"{self._file.path}: nothing makes '{name}', which is read: export it anew")
            self._constants[name] = constant(self._file, name)
        return self._constants[name]

    def _made(self, operation: Operation, values: dict[str, Tensor], image: Tensor) -> Sequence[Tensor]:
        given = [self._value(name, values) if name else None for name in operation.inputs]

        def known(number: int) -> list[Any]:
            tensor, name = given[number], operation.inputs[number]
            if tensor is not None and tensor.is_meta and name in self._file.valued:
                tensor = constant(self._file, name)
            if tensor is None or tensor.is_meta:
                raise OnnxError(self._depends(operation))
            return tensor.flatten().tolist()

        try:
            if operation.domain == "" and operation.kind in TABLE:
                made = TABLE[operation.kind](Call(operation, given, known, self._file.version))
                return [made] if isinstance(made, Tensor) else made
            raise UnsupportedError
        except UnsupportedError:
            return self._other(operation, given)
        except AIOPError:
            raise
        except Exception as error:  # what a file says may be anything
            size, text = "x".join(map(str, image.shape[1:])), " ".join(str(error).split())[:200]
            raise OnnxError(
                f"{self._file.path}: {operation.kind}, which makes '{operation.outputs[0]}', cannot run on an image of "
                f"{size} ({text}): give the size that it was exported for, or export it anew"
            ) from error

    def _other(self, operation: Operation, given: Sequence[Tensor | None]) -> Sequence[Tensor]:
        """What an operation makes of which nothing but its sizes is known."""
        if operation.kind in _BRANCHING and not operation.domain:
            raise OnnxError(
                f"{self._file.path}: has {operation.kind}, whose parts are no one graph: export it for one "
                "size of image, or the part before it"
            )
        shapes = self._shapes(operation, given)
        there = [tensor.to("meta") for tensor in given if tensor is not None]
        ranks, sizes = [len(shape) for shape, _ in shapes], [side for shape, _ in shapes for side in shape]
        made = torch.ops.aiop.unlisted(there, ranks, sizes) if there else _unlisted([], ranks, sizes)
        return [tensor.to(kind) for tensor, (_, kind) in zip(made, shapes, strict=True)]

    def _shapes(self, operation: Operation, given: Sequence[Tensor | None]) -> list[tuple[list[int], torch.dtype]]:
        """Of all outputs, by ONNX's rules where it has some, else from what the file says."""
        told = dict(self._file.shapes) | (self._inferred(operation, given) if not operation.domain else {})
        found = []
        for name in operation.outputs:
            kind = told[name].tensor_type if name in told else None
            if kind is None or not kind.HasField("shape"):
                raise OnnxError(self._depends(operation))
            # A batch of any size is one image here.
            sides = [d.dim_value if d.HasField("dim_value") else 1 - bool(n) for n, d in enumerate(kind.shape.dim)]
            if 0 in sides:
                raise OnnxError(self._depends(operation))
            found.append((sides, DTYPES.get(kind.elem_type, torch.float32)))
        return found

    def _inferred(self, operation: Operation, given: Sequence[Tensor | None]) -> dict[str, Any]:
        """Types of outputs by ONNX's rules; empty where it has none."""
        onnx, helper = onnx_package(), onnx_package("helper")
        there = {name: t for name, t in zip(operation.inputs, given, strict=True) if t is not None}
        types = {n: helper.make_tensor_type_proto(_NUMBERS.get(t.dtype, 1), list(t.shape)) for n, t in there.items()}
        values = {n: onnx.numpy_helper.from_array(t.numpy(), n) for n, t in there.items() if not t.is_meta}
        node = helper.make_node(operation.kind, operation.inputs, operation.outputs, **operation.attributes)
        try:
            schema = onnx.defs.get_schema(operation.kind, self._file.version, "")
            infer = onnx_package("shape_inference").infer_node_outputs
            opsets = [helper.make_opsetid("", self._file.version)]
            inferred: dict[str, Any] = infer(schema, node, types, values, opset_imports=opsets)
        except Exception:  # it has no rule for this; the caller says so where the file does not tell either
            return {}
        return inferred

    def _depends(self, operation: Operation) -> str:
        where = f" of {operation.domain}" if operation.domain else ""
        return (
            f"{self._file.path}: the size of what {operation.kind}{where} makes ('{operation.outputs[0]}') is not "
            "told, or depends on the values of the image: export the part before it, or with all shapes"
        )
