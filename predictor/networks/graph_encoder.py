"""The graph network of the model `default`: messages along edges in both directions, and one vector per graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predictor.features.nodes import NODE_FEATURES
from predictor.graph.vocabulary import OPS
from predictor.networks.batch import GraphBatch


class GraphEncoder(nn.Module):
    """Encodes graphs as vectors of `width` numbers."""

    def __init__(self, width: int = 32, layers: int = 5) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(len(OPS), width)
        self.features = nn.Linear(len(NODE_FEATURES), width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.LayerNorm(width))

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return (count, width)."""
        state = self.embedding(batch.ops) + self.features(batch.nodes)
        predecessors, successors = _sums_to_means(batch.predecessors()), _sums_to_means(batch.successors())
        for layer in self.layers:
            state = layer(state, predecessors, successors)
        vectors: Tensor = self.out(torch.cat([batch.mean_pool(state), batch.max_pool(state)], 1))
        return vectors


class _Layer(nn.Module):
    """A residual message-passing layer. `above` and `below` transform messages from predecessors and successors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, width)
        self.above = nn.Linear(width, width, bias=False)
        self.below = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, state: Tensor, predecessors: Tensor, successors: Tensor) -> Tensor:
        normed = self.norm(state)
        message = self.own(normed) + self.above(predecessors @ normed) + self.below(successors @ normed)
        updated: Tensor = state + self.out(torch.relu(message))
        return updated


def _sums_to_means(adjacency: Tensor) -> Tensor:
    """Return the matrix that averages over neighbours instead of adding them up."""
    start = adjacency.crow_indices()
    sizes = torch.diff(start)
    values = torch.repeat_interleave(1.0 / sizes.clamp(min=1), sizes)
    return torch.sparse_csr_tensor(start, adjacency.col_indices(), values, adjacency.shape, check_invariants=False)
