"""The networks to choose from: samples of a space and mutations of its best labelled networks, with their graphs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from orchestrator.predictors.labelled_networks import data_size
from orchestrator.search.distances import Floats, Rows
from predictor.errors import AIOPError
from predictor.features.graph_pool import GraphPool
from predictor.features.statistics import STATISTICS
from predictor.graph import Graph, trace
from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe
from workers.spaces import Space, get_space
from workers.tasks import get_task
from workers.training.full import Network
from workers.training.normalisation import Normalisation

POOL = 500  # sampled candidates
_PARENTS = 5  # best labelled architectures that are mutated
_MUTATIONS = 8  # of each; tracing one takes a tenth of a second
_WHOLE = ["log_flops", "log_params", "nodes", "depth", "joins", "widest", "mean_width", "last_width"]  # of all nodes
_EFFECTIVE = [i for i, name in enumerate(STATISTICS) if name not in _WHOLE and not name.startswith("work_")]
_DIGITS = 6
_CHUNK = 50  # networks that are traced before they are added to the pool

TraceNetwork = Callable[[Architecture], Graph]
ShowTraced = Callable[[int, int], None]


def network_tracer(recipe: Recipe, task: str, data: str) -> TraceNetwork:
    """Return a function that traces the network of a label: backbone and head at the recipe's size.

    task: the recipe's, or a companion of it. Backbones with equal pyramids share a head, which takes long to build.
    Raises DataError and UnknownNameError; the function raises AIOPError for a network that cannot be built.
    """
    owner, vocabulary = get_task(recipe.task), data_size(data, task).vocabulary()
    heads: dict[tuple[tuple[int, ...], ...], nn.Module] = {}

    def trace_network(architecture: Architecture) -> Graph:
        backbone = get_space(architecture.space).skeleton(architecture, recipe.body)
        pyramid = tuple(backbone.channels), tuple(backbone.strides)
        if pyramid not in heads:
            with torch.device("meta"):
                head = owner.build_head(*pyramid, vocabulary, recipe.head)
                heads[pyramid] = head if task == owner.name else owner.companion_head(head, task)
        network = Network(backbone, heads[pyramid], Normalisation.of(recipe, backbone))
        return trace(network, (3, *recipe.input_size))

    return trace_network


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """FLOPs of one image and parameters of a network with its head."""

    flops: float
    params: float


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
        for start in range(0, len(new), _CHUNK):
            graphs: list[Graph] = []
            for number, architecture in enumerate(new[start : start + _CHUNK], start + 1):
                if (graph := self._traced(architecture)) is not None:
                    self._rows[architecture.id] = len(self.pool) + len(graphs)
                    graphs.append(graph)
                self._show(number, len(new))
            if graphs:
                self.pool = GraphPool.join([self.pool, GraphPool.of(graphs)])
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

    def _traced(self, architecture: Architecture) -> Graph | None:
        self._rows[architecture.id] = None
        try:
            graph = self._trace(architecture)
        except AIOPError as error:
            self.problem = str(error)
            return None
        self._costs[architecture.id] = NetworkCost(float(graph.flops), float(graph.params))
        return graph


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
