"""A search for the best networks within limits: ask which architectures to label, and tell their labels."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import ConfigError
from orchestrator.search.acquisition import BEST, DIVERSE, Pick, Situation, select
from orchestrator.search.chooser import Choice
from orchestrator.search.distances import Floats
from orchestrator.search.evolution import GENERATIONS, POPULATION, Scores, evolve
from orchestrator.search.front import Front, on_front
from orchestrator.search.holding import Held
from orchestrator.search.limits import FLOPS, PARAMS
from orchestrator.search.networks import StudyNetworks
from orchestrator.search.profile import cost_table, exact_excess
from orchestrator.search.study_labels import Found, StudyLabels
from orchestrator.search.study_predictor import Objective, StudyPredictor
from workers.messages.architecture import Architecture

_SELECTED = 600  # candidates of an evolution, by expected improvement, that a batch is selected from
Strategy = Literal["predictor", "random"]


@dataclass(frozen=True, slots=True)
class StudySettings:
    """Settings of a study.

    limits: the most of each cost, in its unit. axis: the cost that the front is drawn over. strategy: predictor, or
    random: a sample of what meets the limits, for comparison. pool: sampled architectures that evolutions start from.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    axis: str = FLOPS
    strategy: Strategy = "predictor"
    pool: int = 200
    seed: int = 0
    population: int = POPULATION
    generations: int = GENERATIONS


class Study:
    """Chooses what to label so that the front of value against cost grows.

    Equal labels and seeds give equal choices. `ask` returns architectures within the limits only.
    """

    def __init__(
        self, held: Held, networks: StudyNetworks, objectives: Mapping[str, Objective], settings: StudySettings
    ) -> None:
        """held: the space, and what is held fixed. objectives: by task, in the order of `networks`."""
        self.held, self.networks, self.settings = held, networks, settings
        self.tasks = tuple(objectives)
        self._labels = StudyLabels({task: objective.weight for task, objective in objectives.items()})
        self._predictor = StudyPredictor(held.space.name, networks, objectives)
        self._pending: dict[Architecture, None] = {}
        self._failed: set[Architecture] = set()
        self._sample: list[Architecture] | None = None

    def tell(
        self, architecture: Architecture, values: Mapping[str, float] | None, latency: float | None = None
    ) -> None:
        """Add the labels of an architecture, by task. latency: measured milliseconds.

        values: None if labelling failed for good. Raises ConfigError for a missing label or one that is not finite, and
        for a network that cannot be traced.
        """
        self._pending.pop(architecture, None)
        if values is None:
            self._failed.add(architecture)
            return
        if not self.networks.add([architecture]):
            raise ConfigError(f"tell {architecture.genotype}: the network cannot be traced, so it has no graph")
        self._labels.add(architecture, values, latency)

    def ask(self, count: int) -> list[Choice]:
        """Return up to `count` architectures to label; fewer if no others are found within the limits."""
        ask = self._ask_random if self.settings.strategy == "random" else self._ask_predictor
        choices = ask(count)
        self._pending.update(dict.fromkeys(choice.architecture for choice in choices))
        return choices

    def limit(self, cost: str, amount: float) -> None:
        """Set a limit that was not known at the start. amount: in the cost's unit."""
        self.settings = replace(self.settings, limits={**self.settings.limits, cost: amount})

    def sample(self) -> list[Architecture]:
        """Return the sampled architectures, with the held values, that have a graph."""
        if self._sample is None:
            self._sample = self.networks.add(itertools.islice(self.held.drawn(self.settings.seed), self.settings.pool))
        return self._sample

    def function(self, architecture: Architecture) -> bytes:
        """Return what is equal for architectures whose networks compute the same: as the space says, or by graphs."""
        return self.held.space.function(architecture).encode() or self.networks.function(architecture)

    def found(self) -> list[Found]:
        """Return all labelled architectures, the highest value first."""
        rows = [self._found(architecture) for architecture in self._labels.architectures()]
        return sorted(rows, key=lambda row: (-row.value, row.costs[FLOPS], row.architecture.id))

    def front(self) -> list[Found]:
        """Return the labelled architectures within the limits that are on the front, the cheapest first."""
        axis = self.settings.axis
        rows = [row for row in self.found() if row.within and axis in row.costs]
        kept = on_front(np.array([row.value for row in rows]), np.array([row.costs[axis] for row in rows]))
        return sorted((row for row, keep in zip(rows, kept, strict=True) if keep), key=lambda row: row.costs[axis])

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Return (n,) predicted values of the search and deviations, from all labels; NaN with fewer than ten.

        Raises ConfigError for a network that cannot be traced.
        """
        if self.networks.add(architectures) != list(architectures):
            raise ConfigError("predict: a network cannot be traced, so it has no graph: leave it out")
        return self._predictor.predict(self._labels, architectures)

    def smoothed(self, architectures: Sequence[Architecture]) -> Floats:
        """Return (n,) values of labelled architectures to rank them by: as predicted from all labels, their own too.

        That averages out the noise of single labels. With too few labels they are the labels.
        """
        predicted, _ = self.predict(architectures)
        labels = np.array([self._found(architecture).value for architecture in architectures])
        return np.asarray(np.where(np.isnan(predicted), labels, predicted), np.float64)

    def expected_front(self) -> list[tuple[Found, float]]:
        """Return the front by the values of `smoothed`, which follow, the cheapest first.

        A front by single labels consists of those that noise raised.
        """
        axis = self.settings.axis
        rows = {row.architecture: row for row in self.found() if row.within and axis in row.costs}
        values = dict(zip(rows, self.smoothed([*rows]), strict=True))
        front = self.front_of([*rows], np.array([*values.values()]))
        return sorted(((rows[a], float(values[a])) for a in front), key=lambda found: found[0].costs[axis])

    def front_of(self, architectures: Sequence[Architecture], values: Floats) -> list[Architecture]:
        """Return the labelled architectures that are on the front by these (n,) values."""
        costs = np.array([self._found(a).costs.get(self.settings.axis, math.inf) for a in architectures])
        return [a for a, keep in zip(architectures, on_front(values, costs), strict=True) if keep]

    def _ask_random(self, count: int) -> list[Choice]:
        """Return the next of the sequence that meet the limits. Latency is not known before it is measured."""
        choices: list[Choice] = []
        for architecture in self.held.drawn(self.settings.seed):
            if len(choices) == count:
                break
            if not self._is_free(architecture) or not self.networks.add([architecture]):
                continue
            if exact_excess(cost_table(self.networks, [architecture]), self.settings.limits)[0] <= 0:
                choices.append(self._choice(architecture, Pick(0, "random", 0.0), None))
        return choices

    def _ask_predictor(self, count: int) -> list[Choice]:
        labelled = self._labels.architectures()
        score = self._predictor.score_with(self._labels, self.settings.limits, self.settings.axis)
        rng = random.Random(f"{self.held.space.name}/{self.settings.seed}/{len(labelled)}/{len(self._failed)}")
        start = [*(row.architecture for row in self.front()), *self.sample(), *labelled]
        start = [architecture for architecture in dict.fromkeys(start) if self.held.holds(architecture)]
        if not self._labels.enough:  # without predictions the sample will do, unless too few of it meet the limits
            everyone, scores = score(start)
            if len(rows := self._usable(everyone, scores)) >= count:
                return self._select(everyone, scores, rows, count)
        settings = self.settings
        everyone, scores = evolve(start, self.held, score, rng, settings.population, settings.generations)
        return self._select(everyone, scores, self._usable(everyone, scores), count)

    def _usable(self, everyone: Sequence[Architecture], scores: Scores) -> NDArray[np.int64]:
        """Return the rows of architectures that are within the limits, and not labelled, pending or failed.

        Of networks that compute the same, the cheapest is taken, and none if one of them was taken before.
        """
        function = self.function
        taken = {function(a) for a in [*self._labels.architectures(), *self._pending]}
        cheapest: dict[bytes, int] = {}
        for row in np.flatnonzero(scores.excess <= 0).tolist():
            computed = function(everyone[row])
            if computed in taken or not self._is_free(everyone[row]):
                continue
            if computed not in cheapest or scores.cost[row] < scores.cost[cheapest[computed]]:
                cheapest[computed] = row
        return np.array(sorted(cheapest.values()), np.int64)

    def _select(
        self, everyone: Sequence[Architecture], scores: Scores, rows: NDArray[np.int64], count: int
    ) -> list[Choice]:
        """Return a batch of the candidates in `rows`: by predictions, or diverse ones with too few labels."""
        predicted, labelled = self._labels.enough, self._labels.architectures()
        front = self._front_so_far(scores.cost) if predicted else None
        if front is not None and len(rows) > _SELECTED:
            part = scores.take(rows)
            gain = front.expected_improvement(part.mean, part.deviation, part.cost)
            rows = np.sort(rows[np.argsort(-gain, kind="stable")[:_SELECTED]])
        rows = rows[:_SELECTED]
        if not len(rows):
            return []
        candidates, part = [everyone[row] for row in rows], scores.take(rows)
        pending = sorted(self._pending, key=lambda a: a.id)
        situation = Situation(
            candidates=self.networks.statistics(candidates),
            taken=self.networks.statistics([*labelled, *pending]),
            mean=part.mean if predicted else None,
            deviation=part.deviation if predicted else None,
            pending=self.networks.statistics(pending),
            best=front.best if front is not None else math.nan,
            front=front,
            costs=part.cost,
        )
        picks = select(situation, BEST if predicted else DIVERSE, count)
        return [self._choice(candidates[pick.row], pick, part if predicted else None) for pick in picks]

    def _front_so_far(self, candidate_costs: Floats) -> Front:
        """Return the front of the labelled networks within the limits; its axis begins at the cheapest candidate."""
        axis, rows = self.settings.axis, self.found()
        inside = [row for row in rows if row.within and axis in row.costs]
        costs = np.array([row.costs[axis] for row in inside])
        every = np.concatenate([costs, candidate_costs])
        limit = self.settings.limits.get(axis, float(every.max()))
        return Front(np.array([row.value for row in inside]), costs, rows[-1].value, float(every.min()), limit)

    def _found(self, architecture: Architecture) -> Found:
        cost = self.networks.cost(architecture)
        found = self._labels.found(architecture, {FLOPS: cost.flops, PARAMS: cost.params}, self.settings.limits)
        return replace(found, within=found.within and self.held.holds(architecture))

    def _is_free(self, architecture: Architecture) -> bool:
        """Return whether an architecture is neither labelled nor pending nor failed."""
        return architecture not in self._labels and architecture not in self._pending.keys() | self._failed

    def _choice(self, architecture: Architecture, pick: Pick, scores: Scores | None) -> Choice:
        mean = None if scores is None else float(scores.mean[pick.row])
        deviation = None if scores is None else float(scores.deviation[pick.row])
        cost = self.networks.cost(architecture)
        return Choice(architecture, pick.reason, pick.score, mean, deviation, cost.flops, cost.params)
