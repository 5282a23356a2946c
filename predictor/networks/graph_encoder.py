"""Our network for graphs: messages both ways along edges, and one vector a graph from which every label set is told."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predictor.features.nodes import NODE_FEATURES
from predictor.graph.vocabulary import OPS
from predictor.networks.batch import GraphBatch


class GraphEncoder(nn.Module):
    """Graphs to vectors of `width` numbers."""

    def __init__(self, width: int = 32, layers: int = 5) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(len(OPS), width)
        self.features = nn.Linear(len(NODE_FEATURES), width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.LayerNorm(width))

    def forward(self, batch: GraphBatch) -> Tensor:
        """(count, width)."""
        state = self.embedding(batch.ops) + self.features(batch.nodes)
        above, below = _averaging(batch.above()), _averaging(batch.below())
        for layer in self.layers:
            state = layer(state, above, below)
        vectors: Tensor = self.out(torch.cat([batch.mean(state), batch.largest(state)], 1))
        return vectors


class _Layer(nn.Module):
    """Adds to each node's state what it, the nodes it reads and those that read it say together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, width)
        self.above = nn.Linear(width, width, bias=False)
        self.below = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, state: Tensor, above: Tensor, below: Tensor) -> Tensor:
        told = self.norm(state)
        message = self.own(told) + self.above(above @ told) + self.below(below @ told)
        changed: Tensor = state + self.out(torch.relu(message))
        return changed


def _averaging(adjacency: Tensor) -> Tensor:
    """Sums over neighbours to means."""
    start = adjacency.crow_indices()
    sizes = torch.diff(start)
    values = torch.repeat_interleave(1.0 / sizes.clamp(min=1), sizes)
    return torch.sparse_csr_tensor(start, adjacency.col_indices(), values, adjacency.shape, check_invariants=False)
