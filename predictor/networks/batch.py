"""Batches of graphs as tensors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from predictor.features.nodes import Integers, PackedGraphs

# Torch warns once per process that multiplies by a sparse matrix; the part used here has worked since torch 1.13.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


def best_device() -> torch.device:
    """Return the device of training and prediction: the GPU of this process if it has one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """`count` graphs with n nodes and e edges in total.

    ops: (n,) indices in OPS. nodes: (n, len(NODE_FEATURES)). edges: (2, e) source and target, sorted by target.
    owner: (n,) index of each node's graph.
    """

    ops: Tensor
    nodes: Tensor
    edges: Tensor
    owner: Tensor
    count: int

    @classmethod
    def of(cls, graphs: PackedGraphs, indices: Integers, device: torch.device | str = "cpu") -> GraphBatch:
        """Return the graphs with these indices, (count,), in this order."""
        encoded, owner = graphs.batch(indices)
        parts = (encoded.ops, encoded.nodes, encoded.edges, owner)
        ops, nodes, edges, owners = (torch.from_numpy(part).to(device, non_blocking=True) for part in parts)
        return cls(ops, nodes, edges, owners, len(indices))

    def predecessors(self) -> Tensor:
        """Return the sparse (n, n) matrix that sums states over each node's inputs: three times as fast as by edges."""
        return self._sparse(self.edges[1], self.edges[0])

    def successors(self) -> Tensor:
        """Return the sparse (n, n) matrix that sums states over the nodes that read each node."""
        order = torch.argsort(self.edges[0], stable=True)
        return self._sparse(self.edges[0][order], self.edges[1][order])

    def mean_pool(self, values: Tensor) -> Tensor:
        """Return (count, c) means over each graph's nodes of (n, c) values."""
        sizes = torch.bincount(self.owner, minlength=self.count).clamp(min=1)
        total = values.new_zeros(self.count, values.shape[1]).index_add_(0, self.owner, values)
        return total / sizes[:, None]

    def max_pool(self, values: Tensor) -> Tensor:
        """Return (count, c) maxima over each graph's nodes of (n, c) values."""
        start = values.new_full((self.count, values.shape[1]), -torch.inf)
        return start.index_reduce_(0, self.owner, values, "amax")

    def _sparse(self, rows: Tensor, columns: Tensor) -> Tensor:
        """rows: (e,), ascending."""
        nodes = len(self.ops)
        start = torch.cat([rows.new_zeros(1), torch.bincount(rows, minlength=nodes).cumsum(0)])
        ones = torch.ones(len(rows), device=rows.device)
        return torch.sparse_csr_tensor(start, columns, ones, (nodes, nodes), check_invariants=False)
