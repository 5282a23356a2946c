"""A pool of encoded graphs, each of which is encoded once and shared by all label sets that contain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.features.nodes import EncodedGraph, PackedGraphs, encode_graph
from predictor.features.statistics import statistics_table
from predictor.graph.structure import Graph


@dataclass(frozen=True, slots=True, eq=False)
class GraphPool:
    """Encoded graphs. nodes: for graph networks. statistics: (graphs, len(STATISTICS)), for tabular models."""

    nodes: PackedGraphs
    statistics: NDArray[np.float64]

    @classmethod
    def of(cls, graphs: Iterable[Graph]) -> GraphPool:
        """Encode graphs in their order. Raises KeyError for an operation that this version does not know."""
        parts: list[EncodedGraph] = []
        rows = [statistics_table([])]
        for graph in graphs:  # one at a time: `Graph` objects take a hundred times the memory
            parts.append(encode_graph(graph))
            rows.append(statistics_table([graph]))
        return cls(PackedGraphs.of(parts), np.concatenate(rows))

    @classmethod
    def join(cls, parts: Sequence[GraphPool]) -> GraphPool:
        """Concatenate pools."""
        nodes, statistics = zip(*((part.nodes, part.statistics) for part in parts), strict=True)
        return cls(PackedGraphs.join(nodes), np.concatenate(statistics))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the content as arrays by name, for a file; `from_arrays` reads them."""
        packed = self.nodes
        return {
            "ops": packed.ops,
            "nodes": packed.nodes,
            "edges": packed.edges,
            "statistics": self.statistics,
            "node_start": packed.node_start,
            "edge_start": packed.edge_start,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GraphPool:
        """Inverse of `to_arrays`; other arrays are ignored. Raises KeyError if one is missing."""
        names = ("ops", "nodes", "edges", "node_start", "edge_start")
        return cls(PackedGraphs(*(arrays[name] for name in names)), arrays["statistics"])

    def __len__(self) -> int:
        return len(self.nodes)
