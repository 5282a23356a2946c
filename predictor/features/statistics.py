"""Numbers of a whole graph, for models on tables: cost, size, operations, where the work is, and the ways through it.

What no way from the image to an output goes through counts in cost and size alone.

Sizes are logarithms to base 2 of fixed scale, so graphs of any task, space and image size can be compared.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictor.features.nodes import depths
from predictor.features.paths import KINDS, PathStatistics, kinds, path_statistics
from predictor.graph.structure import Graph, Node
from predictor.graph.vocabulary import OPS

_CONVOLUTIONS = frozenset({"conv", "depthwise_conv", "transposed_conv"})
_WEIGHTED = _CONVOLUTIONS | {"linear"}
_LEVELS = 7  # halvings of the image's sides, of which the last holds all that are smaller still
_LEVEL_PARTS = ("log_flops", "log_params", "nodes", "weighted", "depthwise", "kernels", "widest")


def statistics(graph: Graph) -> dict[str, float]:
    """Names and values; the same names for every graph."""
    found = path_statistics(graph)
    live = [node for node, lives in zip(graph.nodes, found.live, strict=True) if lives]
    return _of_the_whole(graph) | _of_operations(graph, live) | _of_levels(graph, live) | _of_ways(graph, found)


def statistics_table(graphs: Sequence[Graph]) -> NDArray[np.float64]:
    """(graphs, len(STATISTICS)), columns in the order of STATISTICS."""
    rows = [list(statistics(graph).values()) for graph in graphs]
    return np.array(rows, np.float64).reshape(len(rows), len(STATISTICS))


def _of_the_whole(graph: Graph) -> dict[str, float]:
    widths = [node.channels_out for node in graph.nodes]
    return {
        "log_flops": _log(graph.flops),
        "log_params": _log(graph.params),
        "log_pixels": _log(graph.input_size[1] * graph.input_size[2]),
        "nodes": float(len(graph.nodes)),
        "depth": float(max(depths(graph))),
        "joins": float(sum(len(node.inputs) > 1 for node in graph.nodes)),
        "widest": _log(max(widths)),
        "mean_width": _log(sum(widths) / len(widths)),
        "last_width": _log(graph.nodes[-1].channels_in),
        "strides": float(sum(node.stride[0] > 1 for node in graph.nodes)),
    }


def _of_operations(graph: Graph, live: Sequence[Node]) -> dict[str, float]:
    counts, work = Counter(node.op for node in live), Counter[str]()
    for node in live:
        work[node.op] += node.flops
    kernels = Counter(node.kernel[0] for node in live if node.op in _CONVOLUTIONS)
    found = {f"count_{op}": float(counts[op]) for op in OPS}
    found |= {f"kernel_{size}": float(kernels[size]) for size in (1, 3, 5, 7)}
    found |= {f"work_{op}": work[op] / max(1, graph.flops) for op in ("conv", "depthwise_conv", "linear", "matmul")}
    return found


def _of_levels(graph: Graph, live: Sequence[Node]) -> dict[str, float]:
    """The same few numbers for each resolution, told by how often the image's sides have been halved."""
    pixels = graph.input_size[1] * graph.input_size[2]
    levels: dict[int, list[Node]] = defaultdict(list)
    for node in live:
        halvings = round(math.log2(max(1.0, pixels / max(1, node.positions_out))) / 2)
        levels[min(halvings, _LEVELS - 1)].append(node)
    found: dict[str, float] = {}
    for level in range(_LEVELS):
        values = _of_level(levels[level])
        found |= {f"level{level}_{part}": value for part, value in zip(_LEVEL_PARTS, values, strict=True)}
    return found


def _of_level(nodes: Sequence[Node]) -> tuple[float, ...]:
    weighted = [node for node in nodes if node.op in _WEIGHTED]
    return (
        _log(sum(node.flops for node in nodes)),
        _log(sum(node.params for node in nodes)),
        float(len(nodes)),
        float(len(weighted)),
        float(sum(node.op == "depthwise_conv" for node in nodes)),
        float(sum(node.kernel[0] for node in weighted)),
        _log(max((node.channels_out for node in weighted), default=0)),
    )


def _of_ways(graph: Graph, found: PathStatistics) -> dict[str, float]:
    """Operations of each kind on a way: where all ways count alike, where signals do, and at the least and most."""
    told = {"log_ways": _log(found.number), "log_signal": found.log_signal}
    counts = [(number, kinds(node)) for number, node in enumerate(graph.nodes)]
    for place, kind in enumerate(KINDS):
        some = [number for number, count in counts if count[place]]
        told[f"ways_{kind}"] = sum(found.share[number] for number in some)
        told[f"flow_{kind}"] = sum(found.flow[number] for number in some)
        told[f"least_{kind}"], told[f"most_{kind}"] = float(found.least[place]), float(found.most[place])
    return told


def _log(value: float) -> float:
    return math.log2(1 + value)


STATISTICS = tuple(statistics(Graph((Node("input", (), 3, 3, 1, 1),), (3, 1, 1))))
