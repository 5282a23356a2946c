"""Fuse layers that exporters write as several operations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from predictor.graph.from_onnx.call import Operation
from predictor.graph.from_onnx.file import OnnxFile
from predictor.graph.from_onnx.slices import constant_values, fuse_rolls, fuse_splits, fuse_unbinds

# A pattern is a tuple of an operation's kind and the patterns of its inputs. A number matches a constant. A name
# matches any value, but the same value at each occurrence. "*" matches any value, or an absent last input.
Pattern = str | float | tuple[Any, ...]
Binding = dict[str, str]  # names in a pattern to names of values

_COMMUTATIVE = frozenset(("Add", "Mul"))
_HALF, _ROOT_2, _ROOT_2_PI = 0.5, math.sqrt(2), math.sqrt(2 / math.pi)
_ERF: Pattern = ("Add", ("Erf", ("Div", "x", _ROOT_2)), 1.0)
_CUBE: Pattern = ("Pow", "x", 3.0)
_TANH: Pattern = ("Add", ("Tanh", ("Mul", ("Add", "x", ("Mul", _CUBE, 0.044715)), _ROOT_2_PI)), 1.0)
_CENTRED: Pattern = ("Sub", "x", ("ReduceMean", "x", "*"))
_VARIANCE: Pattern = ("ReduceMean", ("Pow", _CENTRED, 2.0), "*")
_NORMALISED: Pattern = ("Div", _CENTRED, ("Sqrt", ("Add", _VARIANCE, "eps")))
_GROUPS: Pattern = ("Reshape", ("InstanceNormalization", ("Reshape", "x", "groups"), "one", "zero"), "whole")


@dataclass(frozen=True, slots=True)
class _Fusion:
    """Replaces the operations of `pattern` by one operation of `kind`.

    inputs: names in the pattern that become its inputs. attributes: returns its attributes, or None if the values that
    the names are bound to do not fit.
    """

    kind: str
    pattern: Pattern
    inputs: Sequence[str] = ("x",)
    attributes: Callable[[OnnxFile, Binding], Mapping[str, Any] | None] = lambda file, bound: {}


def _layer_norm_attributes(file: OnnxFile, bound: Binding) -> Mapping[str, Any] | None:
    ranks = [len(file.arrays[bound[name]].dims) for name in ("w", "b") if bound[name] in file.weights]
    return {"axis": -ranks[0]} if len(ranks) == 2 and ranks[0] == ranks[1] else None


def _group_norm_attributes(file: OnnxFile, bound: Binding) -> Mapping[str, Any] | None:
    shape = constant_values(file, bound["groups"])
    are_weights = bound["w"] in file.weights and bound["b"] in file.weights
    return {"num_groups": int(shape[1])} if are_weights and shape is not None and len(shape) == 3 else None


def _linear_attributes(file: OnnxFile, bound: Binding) -> Mapping[str, Any] | None:
    ranks = [len(file.arrays[bound[name]].dims) for name in ("w", "b") if bound[name] in file.weights]
    return {} if ranks == [2, 1] else None


def _transposed_linear_attributes(file: OnnxFile, bound: Binding) -> Mapping[str, Any] | None:
    return None if _linear_attributes(file, bound) is None else {"transposed": True}


_FUSIONS = (
    _Fusion("Gelu", ("Mul", ("Mul", "x", _ERF), _HALF)),
    _Fusion("Gelu", ("Mul", ("Mul", "x", _HALF), _ERF)),
    _Fusion("Gelu", ("Mul", ("Mul", "x", _TANH), _HALF)),
    _Fusion("Gelu", ("Mul", ("Mul", "x", _HALF), _TANH)),
    _Fusion("HardSwish", ("Mul", "x", ("HardSigmoid", "x"))),
    _Fusion("HardSwish", ("Div", ("Mul", "x", ("Clip", ("Add", "x", 3.0), 0.0, 6.0)), 6.0)),
    _Fusion("Swish", ("Mul", "x", ("Sigmoid", "x"))),
    _Fusion("Mish", ("Mul", "x", ("Tanh", ("Softplus", "x")))),
    _Fusion("LayerNormalization", ("Add", ("Mul", _NORMALISED, "w"), "b"), ("x", "w", "b"), _layer_norm_attributes),
    _Fusion("GroupNormalization", ("Add", ("Mul", _GROUPS, "w"), "b"), ("x", "w", "b"), _group_norm_attributes),
    _Fusion("Linear", ("Add", ("MatMul", "x", ("Transpose", "w")), "b"), ("x", "w", "b"), _linear_attributes),
    _Fusion("Linear", ("Add", ("MatMul", "x", "w"), "b"), ("x", "w", "b"), _transposed_linear_attributes),
)


def fuse_layers(file: OnnxFile) -> list[Operation]:
    """Return the operations that outputs need, in order, with layers, rolls, unbinds and splits fused.

    A fused layer takes the position of its last operation, a fused split that of its first.
    """
    operations = fuse_splits(file, fuse_unbinds(file, _needed(file, fuse_rolls(file, list(file.operations)))))
    for fusion in _FUSIONS:
        operations = _Matcher(file, operations).apply(fusion)
    return operations


class _Matcher:
    """Finds patterns in a list of operations."""

    def __init__(self, file: OnnxFile, operations: list[Operation]) -> None:
        self._file, self._operations = file, operations
        self._producer = {name: number for number, operation in enumerate(operations) for name in operation.outputs}
        operation_reads = Counter(name for operation in operations for name in set(operation.inputs))
        self._reads = operation_reads + Counter(file.outputs)

    def apply(self, fusion: _Fusion) -> list[Operation]:
        """Return the operations, with every match of the pattern fused."""
        removed, fused = set[int](), dict[int, Operation]()
        for number, last in enumerate(self._operations):
            for bound, inner in self._matches(fusion.pattern, last.outputs[0], {}):
                attributes = fusion.attributes(self._file, bound) if self._is_closed(inner, number) else None
                if attributes is not None and not removed & inner:
                    inputs = tuple(bound[name] for name in fusion.inputs)
                    fused[number] = Operation(fusion.kind, inputs, last.outputs, attributes)
                    removed |= inner - {number}
                    break
        return [fused.get(n, operation) for n, operation in enumerate(self._operations) if n not in removed]

    def _is_closed(self, inner: set[int], last: int) -> bool:
        """Return whether the intermediate values of a match are read only inside it. inner: its operations."""
        intermediate = {name for number in inner - {last} for name in self._operations[number].outputs if name}
        reads = Counter(name for number in inner for name in set(self._operations[number].inputs))
        return all(self._reads[name] == reads[name] for name in intermediate)

    def _matches(self, pattern: Pattern, name: str, bound: Binding) -> Iterator[tuple[Binding, set[int]]]:
        """Yield all matches of a pattern with the computation of value `name`: binding, and numbers of operations."""
        if isinstance(pattern, float):
            values = constant_values(self._file, name)
            if values is not None and len(values) == 1 and math.isclose(values[0], pattern, rel_tol=1e-3, abs_tol=1e-6):
                yield bound, set()
        elif isinstance(pattern, str):
            if pattern == "*" or bound.get(pattern, name) == name:
                yield bound | ({} if pattern == "*" else {pattern: name}), set()
        elif name in self._producer and self._operations[self._producer[name]].kind == pattern[0]:
            number = self._producer[name]
            inputs = tuple(read for read in self._operations[number].inputs if read)
            inner_patterns = [inner for i, inner in enumerate(pattern[1:]) if inner != "*" or i < len(inputs)]
            if len(inputs) != len(inner_patterns):
                return
            for order in permutations(inputs) if pattern[0] in _COMMUTATIVE else (inputs,):
                for new_bound, operations in self._match_all(inner_patterns, order, bound):
                    yield new_bound, operations | {number}

    def _match_all(
        self, patterns: Sequence[Pattern], names: Sequence[str], bound: Binding
    ) -> Iterator[tuple[Binding, set[int]]]:
        """Yield all matches of several patterns with one value each."""
        if not patterns:
            yield bound, set()
            return
        for first_bound, first in self._matches(patterns[0], names[0], bound):
            for rest_bound, rest in self._match_all(patterns[1:], names[1:], first_bound):
                yield rest_bound, first | rest


def _needed(file: OnnxFile, operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations that an output depends on."""
    needed, result = set(file.outputs), list[Operation]()
    for operation in reversed(operations):
        if needed & set(operation.outputs):
            needed |= set(operation.inputs)
            result.append(operation)
    return result[::-1]
