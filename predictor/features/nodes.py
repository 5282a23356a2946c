"""Features of a graph's nodes, for graph networks.

All sizes are logarithms with a fixed scale, so that graphs of any task, space and image size are comparable.
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

_OP_INDEX = {op: index for index, op in enumerate(OPS)}
_LOG_FEATURES = ("channels_in", "channels_out", "positions_in", "positions_out", "params", "flops", "groups")
NODE_FEATURES = (*_LOG_FEATURES, "kernel_height", "kernel_width", "stride", "dilation", "bias", "depth")
_LOG_SCALE = 10.0  # base-2 logarithms are divided by this


@dataclass(frozen=True, slots=True)
class EncodedGraph:
    """A graph as arrays. ops: (n,) indices in OPS. nodes: (n, len(NODE_FEATURES)). edges: (2, e) source, target."""

    ops: Integers
    nodes: Floats
    edges: Integers


_EMPTY = EncodedGraph(np.zeros(0, np.int64), np.zeros((0, len(NODE_FEATURES)), np.float32), np.zeros((2, 0), np.int64))


def encode_graph(graph: Graph) -> EncodedGraph:
    """Encode a graph. Raises KeyError for an operation that this version does not know."""
    depths = node_depths(graph)
    max_depth = max(1, max(depths))
    rows = [[*_node_features(node), depths[number] / max_depth] for number, node in enumerate(graph.nodes)]
    edges = np.array(graph.edges, np.int64).reshape(-1, 2).T
    return EncodedGraph(
        np.array([_OP_INDEX[node.op] for node in graph.nodes], np.int64), np.array(rows, np.float32), edges
    )


def _node_features(node: Node) -> list[float]:
    logs = [float(np.log2(1 + getattr(node, name))) / _LOG_SCALE for name in _LOG_FEATURES]
    return [*logs, node.kernel[0] / 7, node.kernel[1] / 7, node.stride[0] / 4, node.dilation[0] / 4, float(node.bias)]


def node_depths(graph: Graph) -> list[int]:
    """Return, for every node, the number of edges on the longest path from the image."""
    depths = [0] * len(graph.nodes)
    for source, target in graph.edges:  # ordered by target, so sources are final
        depths[target] = max(depths[target], depths[source] + 1)
    return depths


@dataclass(frozen=True, slots=True)
class PackedGraphs:
    """Many encoded graphs, concatenated, so that a batch is made of slices instead of Python objects.

    ops, nodes, edges: as in `EncodedGraph`; edges count nodes within their graph. node_start, edge_start: (graphs + 1,)
    graph i has the rows start[i] to start[i + 1].
    """

    ops: Integers
    nodes: Floats
    edges: Integers
    node_start: Integers
    edge_start: Integers

    @classmethod
    def of(cls, graphs: Sequence[EncodedGraph]) -> PackedGraphs:
        """Concatenate encoded graphs."""
        return cls(
            ops=np.concatenate([_EMPTY.ops, *(g.ops for g in graphs)]),
            nodes=np.concatenate([_EMPTY.nodes, *(g.nodes for g in graphs)]),
            edges=np.concatenate([_EMPTY.edges, *(g.edges for g in graphs)], axis=1),
            node_start=np.cumsum([0, *(len(g.ops) for g in graphs)]),
            edge_start=np.cumsum([0, *(g.edges.shape[1] for g in graphs)]),
        )

    @classmethod
    def join(cls, parts: Sequence[PackedGraphs]) -> PackedGraphs:
        """Concatenate packs."""
        if len(parts) == 1:
            return parts[0]
        node_counts = np.concatenate([np.diff(part.node_start) for part in parts])
        edge_counts = np.concatenate([np.diff(part.edge_start) for part in parts])
        return cls(
            ops=np.concatenate([part.ops for part in parts]),
            nodes=np.concatenate([part.nodes for part in parts]),
            edges=np.concatenate([part.edges for part in parts], axis=1),
            node_start=np.cumsum([0, *node_counts]),
            edge_start=np.cumsum([0, *edge_counts]),
        )

    def __len__(self) -> int:
        return len(self.node_start) - 1

    def batch(self, indices: Integers) -> tuple[EncodedGraph, Integers]:
        """Return the graphs of `indices` as one disconnected graph, and (n,) the position in `indices` of each node."""
        nodes, node_owner = _concatenated_ranges(self.node_start, indices)
        edges, edge_owner = _concatenated_ranges(self.edge_start, indices)
        sizes = self.node_start[indices + 1] - self.node_start[indices]
        first_node = np.cumsum(sizes) - sizes
        batch = EncodedGraph(self.ops[nodes], self.nodes[nodes], self.edges[:, edges] + first_node[edge_owner])
        return batch, node_owner


def _concatenated_ranges(start: Integers, indices: Integers) -> tuple[Integers, Integers]:
    """Return the rows start[i] to start[i + 1] of all i in `indices`, and the position in `indices` of each row."""
    sizes = start[indices + 1] - start[indices]
    owner = np.repeat(np.arange(len(indices)), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return start[indices][owner] + within, owner
