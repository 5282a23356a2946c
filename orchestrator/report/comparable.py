"""Labels that can be compared: of one task, space, fidelity, data set and recipe; and their networks."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from orchestrator.campaign.reliability import label_statistics
from orchestrator.predictors.ranking import known_rank_correlation
from orchestrator.search.front import on_front
from predictor.label_set import COSTS

HALF_WIDTH_90 = 1.645  # of the interval that holds 90 % of a normal distribution, in standard deviations
_MIN_RANKED = 3
_MIN_REPEATS = 3  # fewer do not say how far seeds differ


@dataclass(frozen=True, slots=True)
class LabelledNetwork:
    """A network and its label, the mean over `seeds` seeds. keys: of the labels."""

    architecture: str
    space: str
    genotype: str
    value: float
    seeds: int
    flops: float
    params: float
    keys: tuple[str, ...]

    @property
    def identity(self) -> tuple[str, str]:
        """Space and id, which are the same in all groups."""
        return self.space, self.architecture

    @property
    def anchor(self) -> str:
        """The name of its place in the page, which has letters and digits only, whatever the store holds."""
        return "network-" + hashlib.sha256("\n".join(self.identity).encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class ComparableLabels:
    """Rows of the store that agree in everything but the network and the seed."""

    task: str
    space: str
    fidelity: str
    data: str
    fingerprint: str
    recipe_name: str
    recipe_hash: str
    rows: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """TASK/SPACE/FIDELITY/DATA/RECIPE, as `status` names the group."""
        return "/".join((self.task, self.space, self.fidelity, self.fingerprint, self.recipe_hash))

    @property
    def title(self) -> str:
        """The group in words."""
        return f"{self.task}, {self.space}, {self.data}, {self.fidelity} ({self.recipe_name})"

    @property
    def are_costs(self) -> bool:
        """Whether lower values are better."""
        return self.task in COSTS

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return str(self.rows[0]["metric"])

    @property
    def recipe(self) -> str:
        """The resolved recipe of the newest label, as JSON."""
        return str(max(self.rows, key=lambda row: row["finished"])["recipe"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds."""
        return tuple(sorted({row["seed"] for row in self.rows}))

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Number, range and reliability, as in `status`."""
        return label_statistics([dict(row) for row in self.rows])

    @cached_property
    def networks(self) -> tuple[LabelledNetwork, ...]:
        """The networks, best first."""
        grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.rows:
            grouped[row["architecture"]].append(row)
        found = [_network(rows) for rows in grouped.values()]
        sign = 1 if self.are_costs else -1
        return tuple(sorted(found, key=lambda network: (sign * network.value, network.architecture)))

    @cached_property
    def seed_deviation(self) -> float | None:
        """Standard deviation of labels of one network between seeds, pooled over networks; None for few repeats."""
        means = {network.architecture: network.value for network in self.networks}
        freedom = len(self.rows) - len(means)
        squares = sum((row["value"] - means[row["architecture"]]) ** 2 for row in self.rows)
        return math.sqrt(squares / freedom) if freedom >= _MIN_REPEATS else None

    def half_width(self, network: LabelledNetwork) -> float | None:
        """Half the width of the 90 % interval of a network's mean label; None for few repeats."""
        deviation = self.seed_deviation
        return None if deviation is None else HALF_WIDTH_90 * deviation / math.sqrt(network.seeds)

    def rank_correlation_with(self, cost: str) -> float | None:
        """Return Spearman's correlation of `flops` or `params` with the labels; None if it is undefined."""
        if len(self.networks) < _MIN_RANKED:
            return None
        pairs = np.array([(getattr(network, cost), network.value) for network in self.networks], np.float64)
        return known_rank_correlation(pairs[:, 0], pairs[:, 1])


def group_labels(rows: Iterable[Mapping[str, Any]]) -> tuple[ComparableLabels, ...]:
    """Return the groups of rows of the store, sorted by name."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in ("task", "space", "fidelity", "fingerprint", "recipe_hash"))].append(row)
    found = [_group(members) for members in groups.values()]
    return tuple(sorted(found, key=lambda group: group.name))


def pareto_front(networks: Iterable[LabelledNetwork], costs: Mapping[str, float]) -> list[LabelledNetwork]:
    """Return the networks of which no other has a higher value at no higher cost, the cheapest first.

    costs: by architecture; networks without one are left out.
    """
    known = [network for network in networks if network.architecture in costs]
    known.sort(key=lambda one: (costs[one.architecture], -one.value, one.architecture))
    kept = on_front(np.array([n.value for n in known]), np.array([costs[n.architecture] for n in known]))
    return [network for network, keep in zip(known, kept, strict=True) if keep]


def _group(rows: list[Mapping[str, Any]]) -> ComparableLabels:
    first = rows[0]
    return ComparableLabels(
        task=first["task"],
        space=first["space"],
        fidelity=first["fidelity"],
        data=first["data"],
        fingerprint=first["fingerprint"],
        recipe_name=first["recipe_name"],
        recipe_hash=first["recipe_hash"],
        rows=tuple(rows),
    )


def _network(rows: list[Mapping[str, Any]]) -> LabelledNetwork:
    first = rows[0]
    return LabelledNetwork(
        architecture=first["architecture"],
        space=first["space"],
        genotype=first["genotype"],
        value=fmean(row["value"] for row in rows),
        seeds=len(rows),
        flops=first["flops"],
        params=first["params"],
        keys=tuple(row["key"] for row in rows),
    )
