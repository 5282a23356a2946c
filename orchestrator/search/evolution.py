"""Evolution of architectures under NSGA-II (Deb et al. 2002): a higher value at a lower cost, within limits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from moocore import pareto_rank
from numpy.typing import NDArray

from orchestrator.search.distances import Floats
from orchestrator.search.holding import Held
from workers.messages.architecture import Architecture

POPULATION, GENERATIONS = 64, 8
_CROSSED = 0.5  # share of the children that have two parents
_TRIES = 10  # mutations until a child is new


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Of (n,) architectures: predicted value (higher is better) and deviation, cost, and excess over the limits.

    excess: the sum over all limits of by how much it exceeds the limit, as a share; 0 within all of them.
    """

    mean: Floats
    deviation: Floats
    cost: Floats
    excess: Floats

    @classmethod
    def join(cls, parts: Sequence[Scores]) -> Scores:
        """Concatenate."""
        names = ("mean", "deviation", "cost", "excess")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, rows: NDArray[np.int64]) -> Scores:
        """Return those of some architectures."""
        return Scores(self.mean[rows], self.deviation[rows], self.cost[rows], self.excess[rows])


Score = Callable[[Sequence[Architecture]], tuple[list[Architecture], Scores]]


def evolve(
    start: Sequence[Architecture],
    held: Held,
    score: Score,
    rng: random.Random,
    population: int = POPULATION,
    generations: int = GENERATIONS,
) -> tuple[list[Architecture], Scores]:
    """Return all architectures that were scored, from the start and from every generation, and their scores.

    start: the first parents are the best of them. score: returns those that can be built, in their order, and their
    scores. The same arguments and random state give the same result.
    """
    everyone, scores = score(list(dict.fromkeys(start)))
    seen = set(everyone)
    parents = survivors(scores, population)
    for _ in range(generations):
        if not len(parents):
            break
        order = {int(row): place for place, row in enumerate(parents)}
        children = []
        for _ in range(population):
            child = _child(everyone, order, held, rng, seen)
            if child is not None:
                seen.add(child)
                children.append(child)
        if not children:  # the space is exhausted
            break
        built, found = score(children)
        everyone, scores = [*everyone, *built], Scores.join([scores, found])
        new = np.arange(len(everyone) - len(built), len(everyone))
        pool = np.concatenate([parents, new])
        parents = pool[survivors(scores.take(pool), population)]
    return everyone, scores


def survivors(scores: Scores, count: int) -> NDArray[np.int64]:
    """Return up to `count` rows, the best first.

    Those within the limits come first, by the rank of their front and then by crowding distance; then the others, by
    their excess.
    """
    within = np.flatnonzero(scores.excess <= 0)
    outside = np.flatnonzero(scores.excess > 0)
    outside = outside[np.argsort(scores.excess[outside], kind="stable")]
    if len(within):
        points = np.column_stack([-scores.mean[within], np.log(scores.cost[within])])
        ranks = np.asarray(pareto_rank(points))
        crowding = np.zeros(len(within))
        for rank in np.unique(ranks):
            crowding[ranks == rank] = crowding_distance(points[ranks == rank])
        within = within[np.lexsort((-crowding, ranks))]
    return np.concatenate([within, outside])[:count].astype(np.int64)


def crowding_distance(points: Floats) -> Floats:
    """Return (n,) the crowding distances of (n, objectives) points of one front; infinity at its ends."""
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance


def _child(
    everyone: Sequence[Architecture], order: dict[int, int], held: Held, rng: random.Random, seen: set[Architecture]
) -> Architecture | None:
    """Return a mutation of one or a crossing of two parents that was not seen before; None if none is found."""
    rows = list(order)

    def tournament() -> Architecture:
        return everyone[min(rng.choice(rows), rng.choice(rows), key=order.__getitem__)]

    for _ in range(_TRIES):
        parent = tournament()
        if rng.random() < _CROSSED:
            parent = held.crossed(parent, tournament(), rng)
        child = held.mutated(parent, rng)
        if child not in seen:
            return child
    return None
