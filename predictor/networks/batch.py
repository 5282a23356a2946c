"""Graphs as tensors, many at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from predictor.features.nodes import Integers, PackedGraphs

# Said once of every process that multiplies by a sparse matrix; what is used of it has worked since torch 1.13.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


def best_device() -> torch.device:
    """Where networks learn and predict: the GPU that this process was given, if any."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """ops: (n,) places in OPS. nodes: (n, len(NODE_FEATURES)). edges: (2, e), by target. owner: (n,) of which graph."""

    ops: Tensor
    nodes: Tensor
    edges: Tensor
    owner: Tensor
    count: int

    @classmethod
    def of(cls, graphs: PackedGraphs, which: Integers, device: torch.device | str = "cpu") -> GraphBatch:
        """The graphs numbered `which`, (count,), in that order."""
        arrays, owner = graphs.batch(which)
        parts = (arrays.ops, arrays.nodes, arrays.edges, owner)
        ops, nodes, edges, owners = (torch.from_numpy(part).to(device, non_blocking=True) for part in parts)
        return cls(ops, nodes, edges, owners, len(which))

    def above(self) -> Tensor:
        """(n, n) sparse: times states of nodes, the sum over what each node reads. Thrice as fast as by edges."""
        return self._sparse(self.edges[1], self.edges[0])

    def below(self) -> Tensor:
        """(n, n) sparse: times states of nodes, the sum over what reads each node."""
        order = torch.argsort(self.edges[0], stable=True)
        return self._sparse(self.edges[0][order], self.edges[1][order])

    def mean(self, values: Tensor) -> Tensor:
        """(n, c) of nodes to (count, c) of graphs."""
        sizes = torch.bincount(self.owner, minlength=self.count).clamp(min=1)
        total = values.new_zeros(self.count, values.shape[1]).index_add_(0, self.owner, values)
        return total / sizes[:, None]

    def largest(self, values: Tensor) -> Tensor:
        """(n, c) of nodes to (count, c): the maximum over each graph's nodes."""
        start = values.new_full((self.count, values.shape[1]), -torch.inf)
        return start.index_reduce_(0, self.owner, values, "amax")

    def _sparse(self, rows: Tensor, columns: Tensor) -> Tensor:
        """rows: (e,), ascending."""
        nodes = len(self.ops)
        start = torch.cat([rows.new_zeros(1), torch.bincount(rows, minlength=nodes).cumsum(0)])
        ones = torch.ones(len(rows), device=rows.device)
        return torch.sparse_csr_tensor(start, columns, ones, (nodes, nodes), check_invariants=False)
