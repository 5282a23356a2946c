"""The network of AIO-P as published (arXiv 2211.17228, section 3): a backbone for graphs, and a K-Adapter a task."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from predictor.features.nodes import NODE_FEATURES
from predictor.graph.vocabulary import OPS
from predictor.networks.batch import GraphBatch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it compiles with torch.jit, which nothing here uses
    from torch_geometric.nn import GraphConv

WIDTH, LAYERS = 32, 6
_SIZES = [NODE_FEATURES.index(f"{what}_{side}") for what in ("channels", "positions") for side in ("in", "out")]
_KERNEL = [NODE_FEATURES.index(name) for name in ("kernel_height", "kernel_width", "bias")]
_OCTAVES = 10.0


def published_features(batch: GraphBatch) -> Tensor:
    """(n, 7): channels and side of the image, in and out, over the largest of the graph; kernel and bias."""
    sizes = torch.exp2(batch.nodes[:, _SIZES] * _OCTAVES) - 1
    sizes = torch.cat([sizes[:, :2], sizes[:, 2:].sqrt()], 1)
    largest = batch.largest(sizes)
    largest = torch.stack([largest[:, :2].amax(1), largest[:, 2:].amax(1)], 1).clamp(min=1)
    shares = sizes / largest[batch.owner].repeat_interleave(2, 1)
    return torch.cat([shares, batch.nodes[:, _KERNEL]], 1)


class Backbone(nn.Module):
    """Nodes to `WIDTH` numbers, then six GraphConvs; learnt on classification, then frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(OPS), WIDTH)
        self.features = nn.Linear(len(_SIZES) + len(_KERNEL), WIDTH)
        self.layers = nn.ModuleList(GraphConv(WIDTH, WIDTH) for _ in range(LAYERS))
        self.head = _head(WIDTH)

    def states(self, batch: GraphBatch) -> list[Tensor]:
        """(n, WIDTH) of the nodes and after each layer."""
        states, above = [self.embedding(batch.ops) + self.features(published_features(batch))], batch.above()
        for layer in self.layers:
            states.append(torch.tanh(layer(states[-1], above)))
        return states

    def forward(self, batch: GraphBatch) -> Tensor:
        """(count,) standard scores."""
        scores: Tensor = self.head(batch.mean(self.states(batch)[-1]))[:, 0]
        return scores


class Adapter(nn.Module):
    """A K-Adapter: a GraphConv beside each of the backbone's, that reads its output and the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GraphConv(2 * WIDTH, WIDTH) for _ in range(LAYERS))
        self.head = _head(2 * WIDTH)

    def forward(self, batch: GraphBatch, states: list[Tensor]) -> Tensor:
        """(count,) standard scores. states: the backbone's."""
        own, above = states[0], batch.above()
        for layer, state in zip(self.layers, states[1:], strict=True):
            own = torch.tanh(layer(torch.cat([state, own], 1), above))
        scores: Tensor = self.head(torch.cat([batch.mean(states[-1]), batch.mean(own)], 1))[:, 0]
        return scores


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
