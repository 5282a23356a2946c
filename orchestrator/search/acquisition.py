"""Which candidates to label next: pure functions on arrays, free of stores and models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from orchestrator.search.distances import (
    SAME,
    Floats,
    distances_to,
    nearest_distances,
    standardised,
    typical_distance,
)
from orchestrator.search.front import Front
from orchestrator.search.improvement import expected_improvement

DIVERSE, BEST, BOTH = "diverse", "best", "both"
MODES = (DIVERSE, BEST, BOTH)
_PROMISING = 0.25  # share of the candidates, by their upper quantile, among which `best` also selects diverse ones
_UPPER = 1.0  # the upper quantile is this many deviations above the mean
_NEAR = 0.8  # share of the largest expected improvement that a cheaper candidate must have


@dataclass(frozen=True, slots=True)
class Pick:
    """A selected candidate: its row, why it was selected, and the score by which it was the first."""

    row: int
    reason: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What a selection depends on.

    candidates: (n, columns) statistics of the candidates' graphs. taken: (m, columns) of networks that are labelled or
    pending. mean, deviation: (n,) predicted labels, higher is better; None without a predictor. best: the best label so
    far. seconds: (n,) predicted seconds of labelling each candidate; None if they are not known. pending: (p, columns)
    those of `taken` whose labels are not known yet; None if there are none. front: of the labelled networks, if the
    best value at every cost is wanted and not the best value alone; costs: (n,) of the candidates then.
    """

    candidates: Floats
    taken: Floats
    mean: Floats | None = None
    deviation: Floats | None = None
    best: float = math.nan
    seconds: Floats | None = None
    pending: Floats | None = None
    front: Front | None = None
    costs: Floats | None = None


def select(situation: Situation, mode: str, count: int) -> list[Pick]:
    """Return up to `count` candidates. Graphs that are equal to a selected, labelled or pending one are left out.

    diverse: the greedy k-centre. best: alternates the largest expected improvement and the k-centre among the
    candidates that the predictor finds promising. both: alternates expected improvement and the k-centre among all.
    Without predictions every mode is diverse. With a front, `best` takes three turns: the largest expected improvement
    of the front, that of the best label, and the k-centre among the promising.
    """
    batch = _Batch(situation)
    by_value = situation.mean is not None and mode != DIVERSE
    turns: tuple[Callable[[], Pick | None], ...] = (batch.most_distant,)
    if by_value:
        turns = (batch.most_improving, batch.most_distant_promising if mode == BEST else batch.most_distant)
        if situation.front is not None:
            turns = (batch.most_widening, *turns)
    picks = []
    for turn in islice(cycle(turns), count):
        pick = turn()
        if pick is None:
            break
        picks.append(pick)
    return picks


class _Batch:
    """The candidates that are left while a batch grows."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        waiting = situation.taken[:0] if situation.pending is None else situation.pending
        sizes = np.cumsum([len(situation.candidates), len(situation.taken)])
        points = standardised(np.vstack([situation.candidates, situation.taken, waiting]))
        self._points, taken, pending = np.split(points, sizes)
        self._length = typical_distance(self._points)
        self._nearest = nearest_distances(self._points, taken)
        self._free = self._nearest > SAME
        self._first = not len(taken)
        self._penalty = np.ones(len(self._points))
        for row in pending:
            self._penalise(distances_to(self._points, row))

    def most_distant(self, among: NDArray[np.bool_] | None = None, what: str = DIVERSE) -> Pick | None:
        """Return the candidate whose nearest network is the most distant (greedy k-centre, Gonzalez 1985).

        The first of all is the one nearest to the mean of the candidates. A tie goes to the first row.
        """
        free = self._free if among is None else self._free & among
        if not free.any():
            return None
        if self._first:
            centre = distances_to(self._points, self._points.mean(axis=0))
            row = int(np.where(free, centre, np.inf).argmin())
            return self._take(row, f"{what}: the most central of the candidates", 0.0)
        row = int(np.where(free, self._nearest, -np.inf).argmax())
        distance = float(self._nearest[row])
        return self._take(row, f"{what}: {distance:.2g} from the nearest labelled or chosen network", distance)

    def most_distant_promising(self) -> Pick | None:
        """Return the most distant of the most promising quarter of the candidates.

        They are promising by their upper quantile, or with a front by how much they are expected to add to it.
        """
        mean, deviation = self._predicted()
        hope = mean + _UPPER * deviation if self._situation.front is None else self._added_area
        hope = np.where(self._free, hope, -np.inf)
        free = int(self._free.sum())
        promising = hope >= np.sort(hope)[::-1][max(1, math.ceil(_PROMISING * free)) - 1]
        return self.most_distant(promising, "diverse among the promising")

    def most_widening(self) -> Pick | None:
        """Return the candidate that is expected to add most to the front. See `most_improving`."""
        return self._most(self._added_area, "front")

    def most_improving(self) -> Pick | None:
        """Return the candidate with the largest expected improvement of the best label.

        Candidates that are like an earlier one of the batch, or like a pending one, have a smaller score (local
        penalisation, Gonzalez et al. 2016, with distances between graphs). Where seconds are known, it is the cheapest
        of those with nearly the largest score.
        """
        return self._most(self._improvement, "best")

    def _most(self, gain: Floats, what: str) -> Pick | None:
        if not self._free.any():
            return None
        mean, deviation = self._predicted()
        score = np.where(self._free, gain * self._penalty, -np.inf)
        row, seconds, cost = int(score.argmax()), self._situation.seconds, ""
        if seconds is not None:
            near = score >= _NEAR * score[row]
            row = int(np.lexsort((-score, np.where(near, seconds, np.inf)))[0])
            cost = f", {seconds[row]:.3g} s"
        expected = f"{what}: {mean[row]:.3f} ± {deviation[row]:.3f} predicted"
        return self._take(row, expected + cost, float(score[row]))

    def _take(self, row: int, reason: str, score: float) -> Pick:
        """Remove a candidate and all that are equal to it; those that are like it lose score."""
        distances = distances_to(self._points, self._points[row])
        self._penalise(distances)
        self._nearest = np.minimum(self._nearest, distances)
        self._free &= distances > SAME
        self._first = False
        return Pick(row, reason, score)

    def _penalise(self, distances: Floats) -> None:
        """Lower the score of candidates by their (n,) distances to a network whose label is not known yet."""
        self._penalty = self._penalty * -np.expm1(-0.5 * (distances / self._length) ** 2)

    @cached_property
    def _improvement(self) -> Floats:
        """(n,) the expected improvement of the best label by each candidate, without penalties."""
        return expected_improvement(*self._predicted(), self._situation.best)

    @cached_property
    def _added_area(self) -> Floats:
        """(n,) what each candidate is expected to add to the front, without penalties."""
        front, costs = self._situation.front, self._situation.costs
        if front is None or costs is None:
            raise ValueError("a front needs the candidates' costs")
        return front.expected_improvement(*self._predicted(), costs)

    def _predicted(self) -> tuple[Floats, Floats]:
        mean, deviation = self._situation.mean, self._situation.deviation
        if mean is None or deviation is None:
            raise ValueError("a selection by value needs mean and deviation")
        return mean, np.nan_to_num(deviation)
