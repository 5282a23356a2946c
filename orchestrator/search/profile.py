"""What the networks of a space cost, and whether a search's limits can be met."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import ConfigError
from orchestrator.search.distances import Floats
from orchestrator.search.evolution import Scores, evolve
from orchestrator.search.holding import Held
from orchestrator.search.limits import FLOPS, PARAMS, format_cost
from orchestrator.search.networks import StudyNetworks
from workers.messages.architecture import Architecture

_EXACT = (FLOPS, PARAMS)  # costs that need no measurement
_GENERATIONS, _POPULATION = 10, 24  # of the evolution towards networks that meet the limits


@dataclass(frozen=True, slots=True)
class CostRange:
    """The least, the median and the most that a cost is in a sample of the space."""

    least: float
    middle: float
    most: float


@dataclass(frozen=True, slots=True)
class SpaceProfile:
    """Costs of a sample of networks, backbone and head.

    ranges: of FLOPs and parameters. within: the share of the sample that meets all limits on them.
    """

    networks: int
    ranges: Mapping[str, CostRange]
    within: float


def cost_table(networks: StudyNetworks, architectures: Sequence[Architecture]) -> dict[str, Floats]:
    """Return (n,) FLOPs and parameters of architectures that have graphs."""
    costs = [networks.cost(architecture) for architecture in architectures]
    return {FLOPS: np.array([c.flops for c in costs]), PARAMS: np.array([c.params for c in costs])}


def profile_space(networks: StudyNetworks, sample: Sequence[Architecture], limits: Mapping[str, float]) -> SpaceProfile:
    """Return the profile of a sample of architectures that have graphs. limits: by cost, in its unit."""
    table = cost_table(networks, sample)
    ranges = {
        name: CostRange(*(float(f(column)) for f in (np.min, np.median, np.max))) for name, column in table.items()
    }
    return SpaceProfile(len(sample), ranges, float((exact_excess(table, limits) <= 0).mean()))


def exact_excess(table: Mapping[str, Floats], limits: Mapping[str, float]) -> Floats:
    """Return (n,) the sum of shares by which FLOPs and parameters exceed their limits; 0 within all of them."""
    excess = np.zeros(len(table[FLOPS]))
    for name in _EXACT:
        if name in limits:
            excess += np.maximum(table[name] / limits[name] - 1, 0.0)
    return excess


def check_satisfiable(
    networks: StudyNetworks, held: Held, sample: Sequence[Architecture], limits: Mapping[str, float], seed: int
) -> None:
    """Raise ConfigError if no network is found that meets the limits on FLOPs and parameters.

    If none of the sample does, networks are evolved towards the limits before they are refused.
    """
    if (exact_excess(cost_table(networks, sample), limits) <= 0).any():
        return

    def score(architectures: Sequence[Architecture]) -> tuple[list[Architecture], Scores]:
        built = networks.add(architectures)
        table = cost_table(networks, built)
        none = np.zeros(len(built))
        return built, Scores(none, none, table[FLOPS], exact_excess(table, limits))

    start = sorted(sample, key=lambda a: (networks.cost(a).flops, a.id))[:_POPULATION]
    found, scores = evolve(start, held, score, random.Random(seed), _POPULATION, _GENERATIONS)
    if (scores.excess <= 0).any():
        return
    nearest = found[int(scores.excess.argmin())]
    cost = networks.cost(nearest)
    wish = " and ".join(f"--max-{name} {format_cost(name, limits[name])}" for name in _EXACT if name in limits)
    has = f"{format_cost(FLOPS, cost.flops)} and {format_cost(PARAMS, cost.params)}"
    raise ConfigError(
        f"{wish}: no network of space {held.space.name} found that small; the nearest of {len(found)} has {has}, "
        "with its head: raise the limit, or use a smaller head (--set head....)"
    )
