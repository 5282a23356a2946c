"""Whether a candidate takes the champion's place: a pure function of what both say of the same hold-out labels.

A score is Spearman's rank correlation, which a few wrong labels hardly move; a pooled one is the mean over sets, each
weighted by its labels. Errors are looked at too, as medians: ranks alone would let the unit go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import rank_correlation, resampled_correlation

Floats = NDArray[np.float64]
_DRAWS = 300
_TO_DEVIATION = 1.4826  # from a median of absolute deviations to a normal distribution's deviation


@dataclass(frozen=True, slots=True)
class GateLimits:
    """pooled, task: by how much a score may fall. error: by how much a task's error may grow, in deviations of labels.

    fewest: labels of a set below which it is not scored; enough: labels of a task from which it may object.
    """

    pooled: float = 0.02
    task: float = 0.05
    error: float = 0.15
    fewest: int = 5
    enough: int = 10


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Hold-out labels of one set, all (n,), and what is predicted for them.

    champion: None where it knows nothing of the task. before: whether the champion's own hold-out had the label.
    """

    name: str
    task: str
    architectures: NDArray[np.str_]
    values: Floats
    champion: Floats | None
    candidate: Floats
    before: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScorePair:
    """A figure of both, on the same labels."""

    champion: float
    candidate: float

    @property
    def gain(self) -> float:
        """By how much the candidate's is larger."""
        return self.candidate - self.champion


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """score: on all hold-out labels. before: on those that the champion was tested on. error: median, in deviations."""

    task: str
    tested: int
    score: ScorePair
    error: ScorePair
    tested_before: int
    before: ScorePair


@dataclass(frozen=True, slots=True)
class Figures:
    """What was compared. low, high: 95 % interval of the gain of `pooled`, by resampling architectures."""

    tested: int
    pooled: ScorePair
    low: float
    high: float
    tasks: tuple[TaskFigures, ...]


@dataclass(frozen=True, slots=True)
class Promote:
    """The candidate becomes champion. figures: None where there was nothing to compare."""

    reason: str
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class KeepChampion:
    """The champion stays."""

    reason: str
    figures: Figures | None = None


GateDecision = Promote | KeepChampion


def decide(tested: Sequence[HeldOut], limits: GateLimits | None = None) -> GateDecision:
    """Promote what is better or as good within noise, and of no task worse than the limits."""
    limits = limits or GateLimits()
    both = [one for one in tested if one.champion is not None and len(one.values) >= limits.fewest]
    if not both:
        return Promote("no known set has hold-out labels enough to compare on")
    figures = _compared(both, limits)
    pooled = figures.pooled
    told = f"pooled hold-out score {pooled.champion:.3f} -> {pooled.candidate:.3f}"
    if figures.high < 0:
        return KeepChampion(f"{told}: worse, and not by chance", figures)
    if pooled.gain < -limits.pooled:
        return KeepChampion(f"{told}: fell by more than {limits.pooled:g}", figures)
    if objection := next(filter(None, (_objection(task, limits) for task in figures.tasks)), None):
        return KeepChampion(f"{told}, but {objection}", figures)
    return Promote(f"{told}: {'better' if figures.low > 0 else 'as good within noise'}", figures)


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation of (n,) and (n,); 0 where either tells nothing apart."""
    return float(np.nan_to_num(rank_correlation(one, other)))


def _objection(task: TaskFigures, limits: GateLimits) -> str | None:
    """Why a task forbids the candidate."""
    views = [("", task.tested, task.score), (" on labels known before", task.tested_before, task.before)]
    for where, count, score in views:
        if count >= limits.enough and score.gain < -limits.task:
            return f"task {task.task}{where} {score.champion:.3f} -> {score.candidate:.3f}, more than {limits.task:g}"
    if task.tested >= limits.enough and task.error.gain > limits.error:
        moved = f"{task.error.champion:.2f} -> {task.error.candidate:.2f}"
        return f"task {task.task} errs by {moved} deviations, more than {limits.error:g}"
    return None


def _compared(both: Sequence[HeldOut], limits: GateLimits) -> Figures:
    by_task = defaultdict[str, list[HeldOut]](list)
    for one in both:
        by_task[one.task].append(one)
    tasks = tuple(_of_task(task, sets, limits) for task, sets in sorted(by_task.items()))
    weights = np.array([len(one.values) for one in both], np.float64)
    low, high = _interval(both, weights)
    return Figures(int(weights.sum()), _pooled(both), low, high, tasks)


def _of_task(task: str, sets: Sequence[HeldOut], limits: GateLimits) -> TaskFigures:
    old = [_take(one, one.before) for one in sets]
    old = [one for one in old if len(one.values) >= limits.fewest]
    tested, before = (sum(len(one.values) for one in some) for some in (sets, old))
    error = _error([one.champion for one in sets], sets), _error([one.candidate for one in sets], sets)
    return TaskFigures(
        task, tested, _pooled(sets), ScorePair(*error), before, _pooled(old) if old else ScorePair(0.0, 0.0)
    )


def _pooled(sets: Sequence[HeldOut]) -> ScorePair:
    weights = [len(one.values) for one in sets]
    told = [(spearman(_known(one), one.values), spearman(one.candidate, one.values)) for one in sets]
    champion, candidate = np.average(np.array(told), axis=0, weights=weights)
    return ScorePair(float(champion), float(candidate))


def _error(predicted: Sequence[Floats | None], sets: Sequence[HeldOut]) -> float:
    """Median of absolute errors, in robust deviations of each set's labels."""
    missed = []
    for told, one in zip(predicted, sets, strict=True):
        assert told is not None
        deviation = _TO_DEVIATION * float(np.median(np.abs(one.values - np.median(one.values))))
        missed.append(np.abs(told - one.values) / (deviation or 1.0))
    return float(np.median(np.concatenate(missed)))


def _interval(both: Sequence[HeldOut], weights: Floats) -> tuple[float, float]:
    """95 % of the gains of the pooled score when architectures are drawn anew, the same ones for all sets."""
    names, places = np.unique(np.concatenate([one.architectures for one in both]), return_inverse=True)
    parts = np.split(places, np.cumsum([len(one.values) for one in both])[:-1])
    draw, count = np.random.default_rng(0), len(names)
    counts = np.stack([np.bincount(draw.integers(0, count, count), minlength=count) for _ in range(_DRAWS)])
    gains = np.zeros(_DRAWS)
    for one, part, weight in zip(both, parts, weights / weights.sum(), strict=True):
        now, was = (resampled_correlation(told, one.values, counts[:, part]) for told in (one.candidate, _known(one)))
        gains += weight * (np.nan_to_num(now) - np.nan_to_num(was))
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)


def _known(one: HeldOut) -> Floats:
    assert one.champion is not None
    return one.champion


def _take(one: HeldOut, rows: NDArray[np.bool_]) -> HeldOut:
    return HeldOut(
        one.name,
        one.task,
        one.architectures[rows],
        one.values[rows],
        _known(one)[rows],
        one.candidate[rows],
        one.before[rows],
    )
