"""Statistics of a whole graph, for tabular models: cost, size, operations, work per resolution, and paths.

Nodes that are on no path from the image to an output count in cost and size only. Sizes are base-2 logarithms, so that
graphs of any task, space and image size are comparable.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictor.features.nodes import node_depths
from predictor.features.paths import KINDS, PathStatistics, kind_flags, path_statistics
from predictor.graph.structure import Graph, Node
from predictor.graph.vocabulary import OPS

_CONVOLUTIONS = frozenset({"conv", "depthwise_conv", "transposed_conv"})
_WEIGHTED = _CONVOLUTIONS | {"linear"}
_LEVELS = 7  # resolutions, each half the side of the one before; the last includes all smaller ones
_LEVEL_STATISTICS = ("log_flops", "log_params", "nodes", "weighted", "depthwise", "kernels", "widest")

# The names of statistics are hashed into the input signature of a saved predictor, so they are never renamed. In them,
# "ways" means paths.


def graph_statistics(graph: Graph) -> dict[str, float]:
    """Return the statistics by name; all graphs have the same names, in the same order."""
    paths = path_statistics(graph)
    live = [node for node, is_live in zip(graph.nodes, paths.live, strict=True) if is_live]
    return (
        _size_statistics(graph)
        | _operation_statistics(graph, live)
        | _level_statistics(graph, live)
        | _path_statistics(graph, paths)
    )


def statistics_table(graphs: Sequence[Graph]) -> NDArray[np.float64]:
    """Return the statistics of graphs, (graphs, len(STATISTICS)), columns in the order of STATISTICS."""
    rows = [list(graph_statistics(graph).values()) for graph in graphs]
    return np.array(rows, np.float64).reshape(len(rows), len(STATISTICS))


def _size_statistics(graph: Graph) -> dict[str, float]:
    widths = [node.channels_out for node in graph.nodes]
    return {
        "log_flops": _log(graph.flops),
        "log_params": _log(graph.params),
        "log_pixels": _log(graph.input_size[1] * graph.input_size[2]),
        "nodes": float(len(graph.nodes)),
        "depth": float(max(node_depths(graph))),
        "joins": float(sum(len(node.inputs) > 1 for node in graph.nodes)),
        "widest": _log(max(widths)),
        "mean_width": _log(sum(widths) / len(widths)),
        "last_width": _log(graph.nodes[-1].channels_in),
        "strides": float(sum(node.stride[0] > 1 for node in graph.nodes)),
    }


def _operation_statistics(graph: Graph, live: Sequence[Node]) -> dict[str, float]:
    counts, flops = Counter(node.op for node in live), Counter[str]()
    for node in live:
        flops[node.op] += node.flops
    kernels = Counter(node.kernel[0] for node in live if node.op in _CONVOLUTIONS)
    values = {f"count_{op}": float(counts[op]) for op in OPS}
    values |= {f"kernel_{size}": float(kernels[size]) for size in (1, 3, 5, 7)}
    values |= {f"work_{op}": flops[op] / max(1, graph.flops) for op in ("conv", "depthwise_conv", "linear", "matmul")}
    return values


def _level_statistics(graph: Graph, live: Sequence[Node]) -> dict[str, float]:
    """Return the same statistics for each resolution, which is given by how often the image's sides were halved."""
    pixels = graph.input_size[1] * graph.input_size[2]
    levels: dict[int, list[Node]] = defaultdict(list)
    for node in live:
        halvings = round(math.log2(max(1.0, pixels / max(1, node.positions_out))) / 2)
        levels[min(halvings, _LEVELS - 1)].append(node)
    return {
        f"level{level}_{name}": value
        for level in range(_LEVELS)
        for name, value in zip(_LEVEL_STATISTICS, _one_level(levels[level]), strict=True)
    }


def _one_level(nodes: Sequence[Node]) -> tuple[float, ...]:
    """Return the values of _LEVEL_STATISTICS for the nodes of one resolution."""
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


def _path_statistics(graph: Graph, paths: PathStatistics) -> dict[str, float]:
    """Return the number of operations of each kind on a path.

    "ways": mean over paths. "flow": mean over random walks that follow the signal. "least", "most": over single paths.
    """
    values = {"log_ways": _log(paths.count), "log_signal": paths.log_signal}
    flags = [(number, kind_flags(node)) for number, node in enumerate(graph.nodes)]
    for index, kind in enumerate(KINDS):
        of_kind = [number for number, node_flags in flags if node_flags[index]]
        values[f"ways_{kind}"] = sum(paths.share[number] for number in of_kind)
        values[f"flow_{kind}"] = sum(paths.flow[number] for number in of_kind)
        values[f"least_{kind}"] = float(paths.min_counts[index])
        values[f"most_{kind}"] = float(paths.max_counts[index])
    return values


def _log(value: float) -> float:
    return math.log2(1 + value)


STATISTICS = tuple(graph_statistics(Graph((Node("input", (), 3, 3, 1, 1),), (3, 1, 1))))
