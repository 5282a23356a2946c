"""The training data of predictors: sets of comparable labels, with the encoded graphs of their networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from predictor.features.graph_pool import GraphPool
from predictor.features.statistics import STATISTICS

Floats = NDArray[np.float64]
PROXIES = ("depth", "fisher", "grad_norm", "jacov", "naswot", "snip", "synflow", "zico")  # training-free scores
COSTS = frozenset(("energy", "latency"))  # tasks whose labels are costs: lower is better, in the metric's own unit


@dataclass(frozen=True, slots=True, eq=False)
class LabelSet:
    """Labels of one space, task, data set and recipe, one per architecture.

    name: unique among the sets of a store. architectures: (n,) ids. values: (n,), any real numbers in the metric's
    unit; see `lower_is_better`. graphs: (n,) indices in `pool`, which many sets share; each graph is of backbone and
    head. proxies: (n, len(PROXIES)) raw scores, NaN where one was not measured; None if none was. recipes: of the
    labels' training; empty if unknown. families: (n,) names, such as the method of a published detector; None if the
    networks have none. offsets: of sets that were merged into this one, by name: how much higher their labels were.
    """

    name: str
    space: str
    task: str
    data: str
    architectures: NDArray[np.str_]
    values: Floats
    graphs: NDArray[np.int64]
    pool: GraphPool
    proxies: Floats | None = None
    recipes: tuple[str, ...] = ()
    families: NDArray[np.str_] | None = None
    offsets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = len(self.architectures)
        if self.values.shape != (rows,) or self.graphs.shape != (rows,):
            raise ValueError(f"{rows} architectures, {self.values.shape} values, {self.graphs.shape} graphs")
        if self.proxies is not None and self.proxies.shape != (rows, len(PROXIES)):
            raise ValueError(f"{rows} architectures, proxies of shape {self.proxies.shape}")
        if self.families is not None and self.families.shape != (rows,):
            raise ValueError(f"{rows} architectures, families of shape {self.families.shape}")

    @property
    def lower_is_better(self) -> bool:
        """Whether the labels are costs of the networks, such as latency. Models predict the costs themselves."""
        return self.task in COSTS

    @property
    def statistics(self) -> Floats:
        """(n, len(STATISTICS)) statistics of the graphs."""
        return self.pool.statistics[self.graphs]

    @property
    def table(self) -> Floats:
        """(n, len(STATISTICS) + len(PROXIES)) inputs of tabular models: proxies are signed logarithms, or NaN."""
        proxies = np.full((len(self), len(PROXIES)), np.nan) if self.proxies is None else self.proxies
        return np.hstack([self.statistics, np.sign(proxies) * np.log1p(np.abs(proxies))])

    def __hash__(self) -> int:
        """Return a hash that agrees with `__eq__`, so that a set can be a key of a cache."""
        return hash((self.name, self.architectures.tobytes(), self.values.tobytes()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelSet):
            return NotImplemented
        mine, others = ((s.name, s.task, s.architectures.tobytes(), s.values.tobytes()) for s in (self, other))
        return mine == others and np.array_equal(self.table, other.table, equal_nan=True)

    def __len__(self) -> int:
        return len(self.architectures)

    @classmethod
    def join(cls, parts: Sequence[LabelSet]) -> LabelSet:
        """Concatenate sets that share a graph pool; everything else is that of the first. Families are left out."""
        missing = (np.full((len(part), len(PROXIES)), np.nan) for part in parts)
        return replace(
            parts[0],
            architectures=np.concatenate([part.architectures for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            graphs=np.concatenate([part.graphs for part in parts]),
            proxies=np.concatenate(
                [none if part.proxies is None else part.proxies for part, none in zip(parts, missing, strict=True)]
            ),
            families=None,
        )

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> LabelSet:
        """Return some of the labels, by index or by mask."""
        return replace(
            self,
            architectures=self.architectures[rows],
            values=self.values[rows],
            graphs=self.graphs[rows],
            proxies=None if self.proxies is None else self.proxies[rows],
            families=None if self.families is None else self.families[rows],
        )

    def without(self, architectures: NDArray[np.str_]) -> LabelSet:
        """Return the labels of all other architectures."""
        return self.take(~np.isin(self.architectures, architectures))

    def column(self, name: str) -> Floats:
        """Return (n,) one of the statistics."""
        column: Floats = self.pool.statistics[self.graphs, STATISTICS.index(name)]
        return column
