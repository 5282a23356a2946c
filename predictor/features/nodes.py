"""Numbers of a graph's nodes, for networks on graphs.

All sizes are logarithms of fixed scale, so graphs of any task, space and image size can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.graph.structure import Graph, Node
from predictor.graph.vocabulary import OPS

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_PLACE = {op: place for place, op in enumerate(OPS)}
_LOGS = ("channels_in", "channels_out", "positions_in", "positions_out", "params", "flops", "groups")
NODE_FEATURES = (*_LOGS, "kernel_height", "kernel_width", "stride", "dilation", "bias", "depth")
_OCTAVES = 10.0  # logarithms to base 2 are divided by this


@dataclass(frozen=True, slots=True)
class EncodedGraph:
    """One graph. ops: (n,) places in OPS. nodes: (n, len(NODE_FEATURES)). edges: (2, e), from above to below."""

    ops: Integers
    nodes: Floats
    edges: Integers


_NOTHING = EncodedGraph(
    np.zeros(0, np.int64), np.zeros((0, len(NODE_FEATURES)), np.float32), np.zeros((2, 0), np.int64)
)


def encode_graph(graph: Graph) -> EncodedGraph:
    """The graph in numbers. Raises KeyError for an operation that this version does not know."""
    depth = depths(graph)
    deepest = max(1, max(depth))
    rows = [[*_of_node(node), depth[number] / deepest] for number, node in enumerate(graph.nodes)]
    edges = np.array(graph.edges, np.int64).reshape(-1, 2).T
    return EncodedGraph(
        np.array([_PLACE[node.op] for node in graph.nodes], np.int64), np.array(rows, np.float32), edges
    )


def _of_node(node: Node) -> list[float]:
    logs = [float(np.log2(1 + getattr(node, name))) / _OCTAVES for name in _LOGS]
    return [*logs, node.kernel[0] / 7, node.kernel[1] / 7, node.stride[0] / 4, node.dilation[0] / 4, float(node.bias)]


def depths(graph: Graph) -> list[int]:
    """Of every node, the number of edges on the longest way from the image."""
    found = [0] * len(graph.nodes)
    for source, target in graph.edges:  # ordered by target, so sources are final
        found[target] = max(found[target], found[source] + 1)
    return found


@dataclass(frozen=True, slots=True)
class PackedGraphs:
    """Many graphs in a row, read once: batches are slices, not Python objects.

    ops, nodes, edges: as in `EncodedGraph`, edges numbered within their graph.
    node_start, edge_start: (graphs + 1,) bounds.
    """

    ops: Integers
    nodes: Floats
    edges: Integers
    node_start: Integers
    edge_start: Integers

    @classmethod
    def of(cls, graphs: Sequence[EncodedGraph]) -> PackedGraphs:
        """Graphs one after another."""
        return cls(
            ops=np.concatenate([_NOTHING.ops, *(g.ops for g in graphs)]),
            nodes=np.concatenate([_NOTHING.nodes, *(g.nodes for g in graphs)]),
            edges=np.concatenate([_NOTHING.edges, *(g.edges for g in graphs)], axis=1),
            node_start=np.cumsum([0, *(len(g.ops) for g in graphs)]),
            edge_start=np.cumsum([0, *(g.edges.shape[1] for g in graphs)]),
        )

    @classmethod
    def join(cls, parts: Sequence[PackedGraphs]) -> PackedGraphs:
        """All graphs of `parts` in a row."""
        if len(parts) == 1:
            return parts[0]
        starts = [np.diff(part.node_start) for part in parts], [np.diff(part.edge_start) for part in parts]
        return cls(
            ops=np.concatenate([part.ops for part in parts]),
            nodes=np.concatenate([part.nodes for part in parts]),
            edges=np.concatenate([part.edges for part in parts], axis=1),
            node_start=np.cumsum([0, *np.concatenate(starts[0])]),
            edge_start=np.cumsum([0, *np.concatenate(starts[1])]),
        )

    def __len__(self) -> int:
        return len(self.node_start) - 1

    def batch(self, indices: Integers) -> tuple[EncodedGraph, Integers]:
        """The graphs of `indices` as one, edges numbered within it, and (n,) which of them a node belongs to."""
        nodes, owner = _ranges(self.node_start, indices)
        edges, edge_owner = _ranges(self.edge_start, indices)
        sizes = self.node_start[indices + 1] - self.node_start[indices]
        first = np.cumsum(sizes) - sizes
        return EncodedGraph(self.ops[nodes], self.nodes[nodes], self.edges[:, edges] + first[edge_owner]), owner


def _ranges(start: Integers, indices: Integers) -> tuple[Integers, Integers]:
    """All places of the chosen ranges, and the number of the range of each."""
    sizes = start[indices + 1] - start[indices]
    owner = np.repeat(np.arange(len(indices)), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return start[indices][owner] + within, owner
