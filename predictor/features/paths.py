"""Statistics of the paths from the image to the outputs, which depend on how operations are connected.

Counts of operations along paths are also among the features of GRAF (Kadlecová et al., ICML 2024). Here paths are
additionally weighted by the variance of the signal that they carry, for an input of variance 1: variances add up where
branches are added, normalisation sets them to 1, and a multiplication by zero ends a path. So the share of each branch
in a sum is known without any weights.
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
_MAX_VARIANCE = 1e200  # networks without normalisation stay finite
KINDS = ("weighted", "spatial", "pool")  # of operations that are counted along paths; spatial: a kernel above 1

_Counts = tuple[int, ...]  # one number for each of KINDS
_NO_COUNTS: _Counts = (0,) * len(KINDS)


@dataclass(frozen=True, slots=True)
class PathStatistics:
    """Statistics of all paths from the image to an output.

    count: number of paths. live: (n,) whether a path passes through the node. share: (n,) share of the paths that pass
    through the node. flow: (n,) probability that a random walk passes through the node. The walk begins at an output
    and chooses among the inputs of each node in proportion to their variance. log_signal: mean base-2 logarithm of the
    variance over live nodes. min_counts, max_counts: fewest and most operations of each of KINDS on a single path.
    """

    count: int
    live: list[bool]
    share: list[float]
    flow: list[float]
    log_signal: float
    min_counts: _Counts
    max_counts: _Counts


@dataclass(frozen=True, slots=True)
class _FromImage:
    """Of the paths from the image to each node, one entry per node: their number, signal variance and counts."""

    paths: list[int]
    variance: list[float]
    min_counts: list[_Counts]
    max_counts: list[_Counts]


def path_statistics(graph: Graph) -> PathStatistics:
    """Return the path statistics of a graph; all are zero if no path leads to an output."""
    begin = _from_image(graph.nodes)
    outputs = [number for number, node in enumerate(graph.nodes) if node.op == "output" and begin.paths[number]]
    paths_to_output, flow = _to_outputs(graph.nodes, outputs, begin)
    total = sum(begin.paths[output] for output in outputs)
    live = [paths > 0 for paths in paths_to_output]
    signals = [math.log2(begin.variance[number]) for number, is_live in enumerate(live) if is_live]
    min_counts, max_counts = _NO_COUNTS, _NO_COUNTS
    if outputs:
        min_counts = _combine([begin.min_counts[output] for output in outputs], _NO_COUNTS, min)
        max_counts = _combine([begin.max_counts[output] for output in outputs], _NO_COUNTS, max)
    return PathStatistics(
        count=total,
        live=live,
        share=[a * b / total if b else 0.0 for a, b in zip(begin.paths, paths_to_output, strict=True)],
        flow=flow,
        log_signal=sum(signals) / max(1, len(signals)),
        min_counts=min_counts,
        max_counts=max_counts,
    )


def kind_flags(node: Node) -> tuple[int, ...]:
    """Return 1 for each of KINDS that the node is of, else 0."""
    weighted = node.op in _WEIGHTED
    return int(weighted), int(weighted and max(node.kernel) > 1), int(node.op in _POOLS)


def _from_image(nodes: tuple[Node, ...]) -> _FromImage:
    begin = _FromImage([0] * len(nodes), [0.0] * len(nodes), [_NO_COUNTS] * len(nodes), [_NO_COUNTS] * len(nodes))
    for number, node in enumerate(nodes):
        if not node.inputs:
            begin.paths[number], begin.variance[number] = int(node.op == "input"), 1.0
        elif node.op != "zero":
            inputs = [source for source in node.inputs if begin.paths[source]]
            if inputs:
                begin.paths[number] = sum(begin.paths[source] for source in inputs)
                begin.variance[number] = _variance(node, [begin.variance[source] for source in inputs])
                flags = kind_flags(node)
                begin.min_counts[number] = _combine([begin.min_counts[source] for source in inputs], flags, min)
                begin.max_counts[number] = _combine([begin.max_counts[source] for source in inputs], flags, max)
    return begin


def _to_outputs(nodes: tuple[Node, ...], outputs: list[int], begin: _FromImage) -> tuple[list[int], list[float]]:
    """Return, for each node, the number of paths to an output and the flow of `PathStatistics`."""
    paths, flow = [0] * len(nodes), [0.0] * len(nodes)
    for output in outputs:
        paths[output], flow[output] = 1, 1 / len(outputs)
    for number in range(len(nodes) - 1, -1, -1):
        if paths[number]:
            inputs = [source for source in nodes[number].inputs if begin.paths[source]]
            signal = sum(begin.variance[source] for source in inputs)
            for source in inputs:
                paths[source] += paths[number]
                flow[source] += flow[number] * begin.variance[source] / signal
    return paths, flow


def _variance(node: Node, inputs: list[float]) -> float:
    """Return the variance of a node's output. inputs: variances of its inputs."""
    if node.op in _NORMS:
        return 1.0
    total = sum(inputs)
    return min(total if node.op == "add" else total / len(inputs), _MAX_VARIANCE)


def _combine(inputs: list[_Counts], flags: _Counts, choose: Callable[..., int]) -> _Counts:
    """Return the least or the largest of the inputs' counts, plus the node's own flags. choose: min or max."""
    counts = inputs[0]
    if len(inputs) > 1:
        counts = tuple(map(choose, *inputs))
    return tuple(map(add, counts, flags)) if any(flags) else counts
