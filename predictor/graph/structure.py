"""The computational graph of a network, which is the input of predictors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from predictor.errors import AIOPError, one_line
from predictor.graph.vocabulary import VERSION
from predictor.text_files import parse_json


@dataclass(frozen=True, slots=True)
class Node:
    """One operation on one image. All sizes exclude the batch dimension.

    op: one of `vocabulary.OPS`. inputs: numbers of the nodes whose outputs it reads, in the order of its arguments.
    channels, positions: of its first input and of its output; positions are pixels or tokens. kernel, stride, dilation:
    height and width, or 1. params: number of weights that no earlier node uses. flops: as counted by torch, two per
    multiply-add, including the computation of its weights.
    """

    op: str
    inputs: tuple[int, ...] = ()
    channels_in: int = 0
    channels_out: int = 0
    positions_in: int = 0
    positions_out: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = False
    params: int = 0
    flops: int = 0


_FIELDS = attrgetter(*(field.name for field in fields(Node)))
_SIZES = fields(Node)[2:]  # those after `op` and `inputs`
_IS_PAIR = [isinstance(field.default, tuple) for field in _SIZES]
_BIAS = [field.name for field in _SIZES].index("bias")


class GraphError(AIOPError):
    """A text that is no graph."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order of computation, so that every edge goes from a lower to a higher number.

    input_size: channels, height, width of the image. version: `vocabulary.VERSION` of the tracer that made the graph.
    uncounted: names of operations whose FLOPs are not known, sorted; if there are any, `flops` is a lower bound.
    """

    nodes: tuple[Node, ...]
    input_size: tuple[int, int, int]
    version: int = VERSION
    uncounted: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """FLOPs for one image: convolutions and matrix products only, two per multiply-add."""
        return sum(node.flops for node in self.nodes)

    @property
    def incomplete_flops(self) -> str:
        """One line that names the operations whose FLOPs are not known; empty if `flops` is complete."""
        return f"FLOPs are a lower bound: {', '.join(self.uncounted)} not counted" if self.uncounted else ""

    @property
    def params(self) -> int:
        """Number of weights that the network uses."""
        return sum(node.params for node in self.nodes)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Edges as (source, target), ordered by target."""
        return [(source, number) for number, node in enumerate(self.nodes) for source in node.inputs]

    @property
    def id(self) -> str:
        """16 hexadecimal digits of a hash of the graph. Which operations are not counted does not matter to it."""
        return hashlib.sha256(replace(self, uncounted=()).to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return canonical JSON, which `from_json` reads."""
        nodes = [_FIELDS(node) for node in self.nodes]
        parts: dict[str, Any] = {"version": self.version, "input_size": self.input_size, "nodes": nodes}
        if self.uncounted:
            parts["uncounted"] = self.uncounted
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Inverse of `to_json`. Raises GraphError for anything else."""
        try:
            parts = parse_json(text)
            nodes = tuple(_node(values, number) for number, values in enumerate(parts["nodes"]))
            channels, height, width = map(_integer, parts["input_size"])
            uncounted = tuple(map(_text, parts.get("uncounted", ())))
            return cls(nodes, (channels, height, width), _integer(parts["version"]), uncounted)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GraphError(f"graph: cannot be read ({one_line(error)}): trace the network again") from None


def _node(values: list[Any], number: int) -> Node:
    """Return node `number` from the values of its fields. Raises ValueError and TypeError."""
    op, inputs, *rest = values
    if not all(type(source) is int and 0 <= source < number for source in inputs):
        raise ValueError(f"node {number} reads from {str(inputs)[:60]}")
    sizes = [(_integer(v[0]), _integer(v[1])) if type(v) is list and len(v) == 2 else _integer(v) for v in rest]
    if [type(size) is tuple for size in sizes] != _IS_PAIR:
        raise ValueError(f"node {number} has other fields")
    sizes[_BIAS] = bool(sizes[_BIAS])
    return Node(_text(op), tuple(inputs), *sizes)  # type: ignore[arg-type]


def _integer(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{str(value)[:60]} is no integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:60]} is no text")
    return value
