"""Layers that exporters write as several operations, put back together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from predictor.graph.from_onnx.call import Operation
from predictor.graph.from_onnx.file import OnnxFile
from predictor.graph.from_onnx.parts import numbers, parted, rolled, unbound

# A name stands for any value, the same one wherever it is written; a number for a constant; a tuple for an operation
# that nothing else reads.
Term = str | float | tuple[Any, ...]
Bound = dict[str, str]

_EITHER_WAY = frozenset(("Add", "Mul"))
_HALF, _ROOT_2, _ROOT_2_PI = 0.5, math.sqrt(2), math.sqrt(2 / math.pi)
_ERF: Term = ("Add", ("Erf", ("Div", "x", _ROOT_2)), 1.0)
_CUBE: Term = ("Pow", "x", 3.0)
_TANH: Term = ("Add", ("Tanh", ("Mul", ("Add", "x", ("Mul", _CUBE, 0.044715)), _ROOT_2_PI)), 1.0)
_CENTRED: Term = ("Sub", "x", ("ReduceMean", "x", "*"))
_VARIANCE: Term = ("ReduceMean", ("Pow", _CENTRED, 2.0), "*")
_NORMALISED: Term = ("Div", _CENTRED, ("Sqrt", ("Add", _VARIANCE, "eps")))
_GROUPS: Term = ("Reshape", ("InstanceNormalization", ("Reshape", "x", "groups"), "one", "zero"), "whole")


@dataclass(frozen=True, slots=True)
class _Fold:
    """The last operation of `pattern` becomes one of `kind`, that reads what `reads` names.

    fits: more that must hold, and the attributes; None where it does not.
    """

    kind: str
    pattern: Term
    reads: Sequence[str] = ("x",)
    fits: Callable[[OnnxFile, Bound], Mapping[str, Any] | None] = lambda file, bound: {}


def _of_last_axes(file: OnnxFile, bound: Bound) -> Mapping[str, Any] | None:
    sizes = [len(file.arrays[bound[name]].dims) for name in ("w", "b") if bound[name] in file.weights]
    return {"axis": -sizes[0]} if len(sizes) == 2 and sizes[0] == sizes[1] else None


def _of_groups(file: OnnxFile, bound: Bound) -> Mapping[str, Any] | None:
    shape = numbers(file, bound["groups"])
    learnt = bound["w"] in file.weights and bound["b"] in file.weights
    return {"num_groups": int(shape[1])} if learnt and shape is not None and len(shape) == 3 else None


def _of_weights(file: OnnxFile, bound: Bound) -> Mapping[str, Any] | None:
    sizes = [len(file.arrays[bound[name]].dims) for name in ("w", "b") if bound[name] in file.weights]
    return {} if sizes == [2, 1] else None


def _of_turned_weights(file: OnnxFile, bound: Bound) -> Mapping[str, Any] | None:
    return None if _of_weights(file, bound) is None else {"turned": True}


_FOLDS = (
    _Fold("Gelu", ("Mul", ("Mul", "x", _ERF), _HALF)),
    _Fold("Gelu", ("Mul", ("Mul", "x", _HALF), _ERF)),
    _Fold("Gelu", ("Mul", ("Mul", "x", _TANH), _HALF)),
    _Fold("Gelu", ("Mul", ("Mul", "x", _HALF), _TANH)),
    _Fold("HardSwish", ("Mul", "x", ("HardSigmoid", "x"))),
    _Fold("HardSwish", ("Div", ("Mul", "x", ("Clip", ("Add", "x", 3.0), 0.0, 6.0)), 6.0)),
    _Fold("Swish", ("Mul", "x", ("Sigmoid", "x"))),
    _Fold("Mish", ("Mul", "x", ("Tanh", ("Softplus", "x")))),
    _Fold("LayerNormalization", ("Add", ("Mul", _NORMALISED, "w"), "b"), ("x", "w", "b"), _of_last_axes),
    _Fold("GroupNormalization", ("Add", ("Mul", _GROUPS, "w"), "b"), ("x", "w", "b"), _of_groups),
    _Fold("Linear", ("Add", ("MatMul", "x", ("Transpose", "w")), "b"), ("x", "w", "b"), _of_weights),
    _Fold("Linear", ("Add", ("MatMul", "x", "w"), "b"), ("x", "w", "b"), _of_turned_weights),
)


def folded(file: OnnxFile) -> list[Operation]:
    """The operations that outputs need, in order, each layer in the place of its last one, each split of its first."""
    operations = parted(file, unbound(file, _needed(file, rolled(file, list(file.operations)))))
    for fold in _FOLDS:
        operations = _Matcher(file, operations).apply(fold)
    return operations


class _Matcher:
    def __init__(self, file: OnnxFile, operations: list[Operation]) -> None:
        self._file, self._operations = file, operations
        self._maker = {name: number for number, one in enumerate(operations) for name in one.outputs}
        self._read = Counter(name for one in operations for name in set(one.inputs)) + Counter(file.outputs)

    def apply(self, fold: _Fold) -> list[Operation]:
        """All operations, with the fold wherever its pattern is found."""
        gone, new = set[int](), dict[int, Operation]()
        for number, last in enumerate(self._operations):
            for bound, inner in self._matches(fold.pattern, last.outputs[0], {}):
                settings = fold.fits(self._file, bound) if self._closed(inner, number) else None
                if settings is not None and not gone & inner:
                    reads = tuple(bound[name] for name in fold.reads)
                    new[number] = Operation(fold.kind, reads, last.outputs, settings)
                    gone |= inner - {number}
                    break
        return [new.get(n, one) for n, one in enumerate(self._operations) if n not in gone]

    def _closed(self, inner: set[int], last: int) -> bool:
        """Whether nothing else reads what is made on the way."""
        made = {name for number in inner - {last} for name in self._operations[number].outputs if name}
        read = Counter(name for number in inner for name in set(self._operations[number].inputs))
        return all(self._read[name] == read[name] for name in made)

    def _matches(self, term: Term, name: str, bound: Bound) -> Iterator[tuple[Bound, set[int]]]:
        """All ways to read a term as what makes `name`: what its names stand for, and the operations in it."""
        if isinstance(term, float):
            found = numbers(self._file, name)
            if found is not None and len(found) == 1 and math.isclose(found[0], term, rel_tol=1e-3, abs_tol=1e-6):
                yield bound, set()
        elif isinstance(term, str):
            if term == "*" or bound.get(term, name) == name:
                yield bound | ({} if term == "*" else {term: name}), set()
        elif name in self._maker and self._operations[self._maker[name]].kind == term[0]:
            number = self._maker[name]
            given = self._given(self._operations[number])
            wanted = [one for place, one in enumerate(term[1:]) if one != "*" or place < len(given)]
            if len(given) != len(wanted):
                return
            for order in permutations(given) if term[0] in _EITHER_WAY else (given,):
                for found_, inner in self._all_match(wanted, order, bound):
                    yield found_, inner | {number}

    def _given(self, operation: Operation) -> tuple[str, ...]:
        return tuple(name for name in operation.inputs if name)

    def _all_match(self, terms: Sequence[Term], names: Sequence[str], bound: Bound) -> Iterator[tuple[Bound, set[int]]]:
        if not terms:
            yield bound, set()
            return
        for first, inner in self._matches(terms[0], names[0], bound):
            for rest, more in self._all_match(terms[1:], names[1:], first):
                yield rest, inner | more


def _needed(file: OnnxFile, operations: Sequence[Operation]) -> list[Operation]:
    needed, kept = set(file.outputs), list[Operation]()
    for one in reversed(operations):
        if needed & set(one.outputs):
            needed |= set(one.inputs)
            kept.append(one)
    return kept[::-1]
