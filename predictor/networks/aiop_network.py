"""The network of AIO-P as published (arXiv 2211.17228, section 3): a graph backbone and a K-Adapter for each task."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from predictor.features.nodes import NODE_FEATURES
from predictor.graph.vocabulary import OPS
from predictor.networks.batch import GraphBatch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it uses torch.jit, which is deprecated, for parts unused here
    from torch_geometric.nn import GraphConv

WIDTH, LAYERS = 32, 6
_SIZES = [NODE_FEATURES.index(f"{what}_{side}") for what in ("channels", "positions") for side in ("in", "out")]
_KERNEL = [NODE_FEATURES.index(name) for name in ("kernel_height", "kernel_width", "bias")]
_LOG2_SCALE = 10.0  # node features hold log2(1 + size) divided by this


def aiop_features(batch: GraphBatch) -> Tensor:
    """Return (n, 7): channels and image side, in and out, divided by the largest of the graph; kernel and bias."""
    sizes = torch.exp2(batch.nodes[:, _SIZES] * _LOG2_SCALE) - 1
    sizes = torch.cat([sizes[:, :2], sizes[:, 2:].sqrt()], 1)
    largest = batch.max_pool(sizes)
    largest = torch.stack([largest[:, :2].amax(1), largest[:, 2:].amax(1)], 1).clamp(min=1)
    shares = sizes / largest[batch.owner].repeat_interleave(2, 1)
    return torch.cat([shares, batch.nodes[:, _KERNEL]], 1)


class Backbone(nn.Module):
    """An embedding of nodes and six GraphConv layers; trained on classification, then frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(OPS), WIDTH)
        self.features = nn.Linear(len(_SIZES) + len(_KERNEL), WIDTH)
        self.layers = nn.ModuleList(GraphConv(WIDTH, WIDTH) for _ in range(LAYERS))
        self.head = _head(WIDTH)

    def states(self, batch: GraphBatch) -> list[Tensor]:
        """Return (n, WIDTH) states of the nodes: embedded, and after each layer."""
        states = [self.embedding(batch.ops) + self.features(aiop_features(batch))]
        predecessors = batch.predecessors()
        for layer in self.layers:
            states.append(torch.tanh(layer(states[-1], predecessors)))
        return states

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return (count,) standard scores."""
        scores: Tensor = self.head(batch.mean_pool(self.states(batch)[-1]))[:, 0]
        return scores


class Adapter(nn.Module):
    """A K-Adapter: one GraphConv per backbone layer, on that layer's output and the adapter's previous state."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GraphConv(2 * WIDTH, WIDTH) for _ in range(LAYERS))
        self.head = _head(2 * WIDTH)

    def forward(self, batch: GraphBatch, states: list[Tensor]) -> Tensor:
        """Return (count,) standard scores. states: `Backbone.states`."""
        own, predecessors = states[0], batch.predecessors()
        for layer, state in zip(self.layers, states[1:], strict=True):
            own = torch.tanh(layer(torch.cat([state, own], 1), predecessors))
        scores: Tensor = self.head(torch.cat([batch.mean_pool(states[-1]), batch.mean_pool(own)], 1))[:, 0]
        return scores


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
