"""Undo quantisation: a quantised file gives the operations of the network that it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from predictor.graph.from_onnx.call import Operation
from predictor.graph.from_onnx.file import OnnxFile, find_weights, has_values, onnx_package

_MICROSOFT = "com.microsoft"  # the domain of onnxruntime's own operations
_FLOAT = 1
_REAL_TYPES = frozenset((1, 10, 11, 16))

# For each quantised operation: the operation on real numbers that it replaces, and which of its inputs that one has.
# The other inputs are scales and zero points.
_QUANTISED: Mapping[tuple[str, str], tuple[str, tuple[int, ...]]] = {
    ("", "ConvInteger"): ("Conv", (0, 1)),
    ("", "MatMulInteger"): ("MatMul", (0, 1)),
    ("", "QLinearConv"): ("Conv", (0, 3, 8)),
    ("", "QLinearMatMul"): ("MatMul", (0, 3)),
    (_MICROSOFT, "QGemm"): ("Gemm", (0, 3, 6)),
    (_MICROSOFT, "QLinearAdd"): ("Add", (0, 3)),
    (_MICROSOFT, "QLinearMul"): ("Mul", (0, 3)),
    (_MICROSOFT, "QLinearSigmoid"): ("Sigmoid", (0,)),
    (_MICROSOFT, "QLinearLeakyRelu"): ("LeakyRelu", (0,)),
    (_MICROSOFT, "QLinearSoftmax"): ("Softmax", (0,)),
    (_MICROSOFT, "QLinearAveragePool"): ("AveragePool", (0,)),
    (_MICROSOFT, "QLinearGlobalAveragePool"): ("GlobalAveragePool", (0,)),
}
# Matrix products of real results, and the inputs that are the matrices and the bias.
_TO_FLOAT = {"MatMulIntegerToFloat": (0, 1, 6), "DynamicQuantizeMatMul": (0, 1, 4)}
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


def dequantised(file: OnnxFile) -> OnnxFile:
    """Return the file without quantisation; an ordinary file is returned unchanged.

    Quantised weights become real ones of the same size. Values of constants are kept where they are few.
    """
    if not any(
        op.kind in _QUANTISERS or op.kind in _TO_FLOAT or (op.domain, op.kind) in _QUANTISED for op in file.operations
    ):
        return file
    undoing = _Undoing(file)
    for operation in file.operations:
        undoing.add(operation)
    return undoing.result()


class _Undoing:
    """Rewrites operations one by one, in their order."""

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._operations = list[Operation]()
        self._arrays = dict(file.arrays)
        self._valued = set(file.valued)
        self._same = dict[str, str]()  # names of values that are those of another name, but for quantisation
        self._scales = set[str]()  # values that are scales, or products of them
        self._sums = set[str]()  # results in integers, which scales are yet to be multiplied to

    def add(self, operation: Operation) -> None:
        """Rewrite one operation."""
        inputs = tuple(self._same.get(name, name) for name in operation.inputs)
        outputs, kind = operation.outputs, operation.kind
        if kind in _QUANTISERS and operation.domain in ("", _MICROSOFT):
            self._same[outputs[0]] = self._real(inputs) if kind == "DequantizeLinear" else inputs[0]
            self._scales |= set(outputs[1:])
        elif (pair := (operation.domain, kind)) in _QUANTISED:
            self._add_quantised(operation, inputs, *_QUANTISED[pair])
            self._sums |= set(outputs) if kind in ("ConvInteger", "MatMulInteger") else set()
        elif operation.domain == _MICROSOFT and kind == "QLinearConcat":
            self._operations.append(Operation("Concat", inputs[2::3], outputs, operation.attributes))
        elif operation.domain == _MICROSOFT and kind in _TO_FLOAT:
            self._add_product(operation, inputs, *_TO_FLOAT[kind])
        elif kind == "Cast" and inputs[0] in self._sums:
            self._same[outputs[0]] = inputs[0]
        elif kind == "Mul" and self._is_rescaling(inputs, outputs[0]):
            return
        else:
            self._operations.append(replace(operation, inputs=inputs))

    def _is_rescaling(self, inputs: Sequence[str], output: str) -> bool:
        """Whether a product is of scales, or of a sum in integers and its scale; then the sum has its name."""
        scales = [name in self._scales or name in self._arrays for name in inputs]
        sums = [name for name in inputs if name in self._sums]
        if all(scales) and any(name in self._scales for name in inputs):
            self._scales.add(output)
            return True
        if len(sums) == 1 and any(scales):
            self._same[output] = sums[0]
            return True
        return False

    def _add_quantised(self, operation: Operation, inputs: Sequence[str], kind: str, read: Sequence[int]) -> None:
        present = [self._real((inputs[n], *inputs[n + 1 : n + 3])) for n in read if n < len(inputs) and inputs[n]]
        self._operations.append(Operation(kind, tuple(present), operation.outputs, operation.attributes))

    def _add_product(self, operation: Operation, inputs: Sequence[str], first: int, second: int, bias: int) -> None:
        matrices = (self._real((inputs[first],)), self._real((inputs[second],)))
        if len(inputs) <= bias or not inputs[bias]:
            self._operations.append(Operation("MatMul", matrices, operation.outputs))
            return
        product = f"{operation.outputs[0]}:product"
        self._operations.append(Operation("MatMul", matrices, (product,)))
        self._operations.append(Operation("Add", (product, inputs[bias]), operation.outputs))

    def _real(self, inputs: Sequence[str]) -> str:
        """Return the name of a stored array in real numbers; other names are returned unchanged.

        inputs: the array's name, scale and zero point; these may be absent.
        """
        name = inputs[0]
        if name not in self._arrays or self._arrays[name].data_type in _REAL_TYPES:
            return name
        real = f"{name}:real"
        if real not in self._arrays:
            array, helper = self._arrays[name], onnx_package("helper")
            scale = self._arrays.get(inputs[1]) if len(inputs) > 1 else None
            kind = scale.data_type if scale is not None and scale.data_type in _REAL_TYPES else _FLOAT
            values = self._values(inputs)
            if values is None:
                self._arrays[real] = onnx_package().TensorProto(name=real, data_type=kind, dims=list(array.dims))
            else:
                self._arrays[real] = helper.make_tensor(real, kind, list(array.dims), values.flatten().tolist())
                self._valued.add(real)
        return real

    def _values(self, inputs: Sequence[str]) -> Any:
        """Return the real values of a small array with one scale; None if it is large, or a weight of channels."""
        name, scale = inputs[0], inputs[1] if len(inputs) > 1 else ""
        if prod(self._arrays[name].dims) != 1 or scale not in self._file.valued or prod(self._arrays[scale].dims) != 1:
            return None
        zero = self._file.values(inputs[2]) if len(inputs) > 2 and inputs[2] in self._file.valued else 0
        return (self._file.values(name).astype("float64") - zero) * self._file.values(scale).astype("float64")

    def result(self) -> OnnxFile:
        """Return the file with the rewritten operations."""
        outputs = {name: self._same[name] for name in self._file.outputs if name in self._same}
        read = Counter(name for operation in self._operations for name in operation.inputs) + Counter(outputs.values())
        arrays = {name: array for name, array in self._arrays.items() if name in read or name in self._file.outputs}
        originals = {f"{name}:real" for name in self._file.weights} | self._file.weights
        stored = {name for name in arrays if name in originals or name.endswith(":real")}
        return replace(
            self._file,
            operations=tuple(self._operations),
            outputs=tuple(outputs.get(name, name) for name in self._file.outputs),
            arrays=arrays,
            weights=frozenset(find_weights(self._operations, arrays, stored)),
            valued=frozenset(name for name in self._valued if name in arrays and has_values(arrays[name])),
        )
