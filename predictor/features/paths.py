"""PathStatistics from the image to the outputs: what a network's wiring makes of its operations.

A signal of variance 1 enters. Where branches are added their variances add up, normalisation brings them back to 1, and
a multiplication by zero ends them. So the share that each branch has of a sum is known without any weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import add

from predictor.graph.structure import Graph, Node

_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm"})
_POOLS = frozenset({"max_pool", "avg_pool"})
_WEIGHTED = frozenset({"conv", "depthwise_conv", "transposed_conv", "linear"})
_LARGEST = 1e200  # variance, so that networks without normalisation stay finite
KINDS = ("weighted", "spatial", "pool")  # of operations that are counted along ways; spatial: a kernel above 1

_Counts = tuple[int, ...]  # of each of KINDS
_NOTHING: _Counts = (0,) * len(KINDS)


@dataclass(frozen=True, slots=True)
class PathStatistics:
    """number: how many ways there are. live: (n,) whether any goes through a node.

    share: (n,) of all ways, those that go through a node. flow: (n,) how often a walk passes a node that begins at the
    outputs and chooses among the inputs by their variance. log_signal: mean over live nodes of the variance's base-2
    logarithm. least, most: of each of KINDS, on a single way.
    """

    number: int
    live: list[bool]
    share: list[float]
    flow: list[float]
    log_signal: float
    least: _Counts
    most: _Counts


def path_statistics(graph: Graph) -> PathStatistics:
    """All figures at once; zeros where no way leads to an output."""
    nodes = graph.nodes
    above, variance = [0] * len(nodes), [0.0] * len(nodes)
    least, most = [_NOTHING] * len(nodes), [_NOTHING] * len(nodes)
    for number, node in enumerate(nodes):
        if not node.inputs:
            above[number], variance[number] = int(node.op == "input"), 1.0
        elif node.op != "zero":
            inputs = [source for source in node.inputs if above[source]]
            if inputs:
                above[number] = sum(above[source] for source in inputs)
                variance[number] = _variance(node, [variance[source] for source in inputs])
                own = kinds(node)
                least[number] = _along([least[source] for source in inputs], own, min)
                most[number] = _along([most[source] for source in inputs], own, max)
    ends = [number for number, node in enumerate(nodes) if node.op == "output" and above[number]]
    below, flow = [0] * len(nodes), [0.0] * len(nodes)
    for end in ends:
        below[end], flow[end] = 1, 1 / len(ends)
    for number in range(len(nodes) - 1, -1, -1):
        if below[number]:
            inputs = [source for source in nodes[number].inputs if above[source]]
            signal = sum(variance[source] for source in inputs)
            for source in inputs:
                below[source] += below[number]
                flow[source] += flow[number] * variance[source] / signal
    total = sum(above[end] for end in ends)
    live = [count > 0 for count in below]
    signals = [math.log2(variance[number]) for number, lives in enumerate(live) if lives]
    return PathStatistics(
        number=total,
        live=live,
        share=[a * b / total if b else 0.0 for a, b in zip(above, below, strict=True)],
        flow=flow,
        log_signal=sum(signals) / max(1, len(signals)),
        least=_along([least[end] for end in ends], _NOTHING, min) if ends else _NOTHING,
        most=_along([most[end] for end in ends], _NOTHING, max) if ends else _NOTHING,
    )


def kinds(node: Node) -> tuple[int, ...]:
    """Of each of KINDS, 1 where the node is one."""
    weighted = node.op in _WEIGHTED
    return int(weighted), int(weighted and max(node.kernel) > 1), int(node.op in _POOLS)


def _variance(node: Node, inputs: list[float]) -> float:
    if node.op in _NORMS:
        return 1.0
    total = sum(inputs)
    return min(total if node.op == "add" else total / len(inputs), _LARGEST)


def _along(ways_so_far: list[_Counts], own: _Counts, best: Callable[..., int]) -> _Counts:
    """The least or most of each of KINDS, with what the node adds."""
    found = ways_so_far[0]
    if len(ways_so_far) > 1:
        found = tuple(map(best, *ways_so_far))
    return tuple(map(add, found, own)) if any(own) else found
