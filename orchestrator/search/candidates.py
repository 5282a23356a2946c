"""The networks to choose from: samples of a space and mutations of its best labelled networks, with their graphs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from orchestrator.search.distances import Floats, Rows
from orchestrator.search.network_tracing import NetworkCost, TraceNetwork, trace_in_chunks
from predictor.features.graph_pool import GraphPool
from predictor.features.statistics import STATISTICS
from workers.messages.architecture import Architecture
from workers.spaces import Space

POOL = 500  # sampled candidates
_PARENTS = 5  # best labelled architectures that are mutated
_MUTATIONS = 8  # of each; tracing one takes a tenth of a second
_WHOLE = ["log_flops", "log_params", "nodes", "depth", "joins", "widest", "mean_width", "last_width"]  # of all nodes
_EFFECTIVE = [i for i, name in enumerate(STATISTICS) if name not in _WHOLE and not name.startswith("work_")]
_DIGITS = 6

ShowTraced = Callable[[int, int], None]


class TracedNetworks:
    """Encoded graphs of architectures. Each is traced once, and one that cannot be built is left out."""

    def __init__(self, trace_network: TraceNetwork, show: ShowTraced = lambda done, total: None) -> None:
        """show: called with how many of the networks to trace are done."""
        self._trace, self._show = trace_network, show
        self._rows: dict[str, int | None] = {}
        self._costs: dict[str, NetworkCost] = {}
        self.problem = ""  # why the last network that is left out cannot be built
        self.pool = GraphPool.of([])

    @property
    def traced(self) -> int:
        """Number of architectures that were traced, also those that could not be."""
        return len(self._rows)

    def add(self, architectures: Iterable[Architecture]) -> list[Architecture]:
        """Trace what is new; return the architectures that have a graph, in their order."""
        wanted = list(architectures)
        new = [a for a in dict.fromkeys(wanted) if a.id not in self._rows]
        costs, pools = list[NetworkCost | str](), [self.pool]
        for traced in trace_in_chunks(self._trace, new):
            costs += traced.costs
            pools.append(traced.pool)
            self._show(len(costs), len(new))
        for architecture, cost in zip(new, costs, strict=True):
            if isinstance(cost, str):
                self.problem, self._rows[architecture.id] = cost, None
            else:
                self._rows[architecture.id] = len(self._costs)  # each graph in the pool has a cost
                self._costs[architecture.id] = cost
        if new:
            self.pool = GraphPool.join(pools)
        return [a for a in wanted if self._rows[a.id] is not None]

    def rows(self, architectures: Sequence[Architecture]) -> Rows:
        """Return (n,) the indices in `pool` of architectures that have a graph."""
        return np.array([self._rows[a.id] for a in architectures], np.int64)

    def statistics(self, architectures: Sequence[Architecture]) -> Floats:
        """Return (n, len(STATISTICS)) statistics of their graphs."""
        return self.pool.statistics[self.rows(architectures)]

    def function(self, architecture: Architecture) -> bytes:
        """Return what is equal for networks that compute the same, though some have further parts without an effect.

        These are the statistics that leave out nodes that are on no path from the image to an output, such as what
        follows an edge without an operation in a cell.
        """
        return self.pool.statistics[self._rows[architecture.id], _EFFECTIVE].round(_DIGITS).tobytes()

    def cost(self, architecture: Architecture) -> NetworkCost:
        """Return the cost of an architecture that has a graph."""
        return self._costs[architecture.id]


class Candidates:
    """Architectures of a space that may be chosen. The same seed gives the same ones.

    excluded: architectures that are never chosen, such as those whose label failed permanently.
    """

    def __init__(
        self,
        space: Space,
        networks: TracedNetworks,
        size: int = POOL,
        seed: int = 0,
        excluded: Callable[[Architecture], bool] = lambda architecture: False,
    ) -> None:
        self.space, self.networks = space, networks
        self._seed, self._size, self._excluded = seed, size, excluded
        self._sampled: list[Architecture] | None = None

    def sampled(self) -> list[Architecture]:
        """Return the first architectures of `Space.sequence` with this seed: a larger pool begins with a smaller."""
        if self._sampled is None:
            drawn = itertools.islice(self.space.sequence(self._seed), self._size)
            self._sampled = self._usable(drawn)
        return self._sampled

    def mutations(self, best: Sequence[Architecture]) -> list[Architecture]:
        """Return mutations of up to five architectures, eight of each, which depend on it and the seed only."""
        mutated = []
        for parent in best[:_PARENTS]:
            rng = random.Random(f"{self.space.name}/{self._seed}/{parent.id}")
            mutated += [self.space.mutate(parent, rng) for _ in range(_MUTATIONS)]
        return self._usable(dict.fromkeys(mutated))

    def _usable(self, architectures: Iterable[Architecture]) -> list[Architecture]:
        return self.networks.add(a for a in architectures if not self._excluded(a))
