"""The networks of a study: each architecture with the head of each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from orchestrator.search.candidates import TracedNetworks
from orchestrator.search.distances import Floats
from orchestrator.search.network_tracing import NetworkCost
from workers.messages.architecture import Architecture


class StudyNetworks:
    """Encoded graphs of architectures, with the head of each task. Each is traced once."""

    def __init__(self, by_task: Mapping[str, TracedNetworks]) -> None:
        self.by_task = dict(by_task)

    @property
    def traced(self) -> int:
        """Number of architectures that were traced."""
        return max(networks.traced for networks in self.by_task.values())

    @property
    def problem(self) -> str:
        """Why the last network that is left out cannot be built; empty if all can."""
        return next((networks.problem for networks in self.by_task.values() if networks.problem), "")

    def add(self, architectures: Iterable[Architecture]) -> list[Architecture]:
        """Trace what is new; return the architectures that have a graph with every head, in their order."""
        found = list(architectures)
        for networks in self.by_task.values():
            found = networks.add(found)
        return found

    def cost(self, architecture: Architecture) -> NetworkCost:
        """Return FLOPs and parameters, summed over the tasks: each has a network with weights for it alone."""
        costs = [networks.cost(architecture) for networks in self.by_task.values()]
        return NetworkCost(sum(c.flops for c in costs), sum(c.params for c in costs))

    def function(self, architecture: Architecture) -> bytes:
        """Return what is equal for architectures whose networks compute the same, see `TracedNetworks.function`."""
        return b"".join(networks.function(architecture) for networks in self.by_task.values())

    def statistics(self, architectures: Sequence[Architecture]) -> Floats:
        """Return (n, columns) statistics of their graphs, those of all tasks side by side."""
        return np.hstack([networks.statistics(architectures) for networks in self.by_task.values()])
