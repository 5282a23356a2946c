"""The promotion gate: a pure function of the champion's and the candidate's predictions for the same hold-out labels.

The score of a set is Spearman's rank correlation, which a few wrong labels hardly change; the pooled score is the mean
over sets, weighted by their labels. Median errors are compared too, because ranks do not show a wrong unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import bootstrap_rank_correlation, rank_correlation
from orchestrator.predictors.verdict import GateDecision, GateFigures, ScorePair, TaskFigures, Verdict

Floats = NDArray[np.float64]
_BOOTSTRAP_SAMPLES = 300
_SD_PER_MAD = 1.4826  # standard deviation of a normal distribution, in median absolute deviations


@dataclass(frozen=True, slots=True)
class GateLimits:
    """By how much a candidate may be worse.

    max_pooled_drop, max_task_drop: of the score. max_error_growth: of a task's median error, in robust standard
    deviations of the labels. min_set_labels: a set with fewer hold-out labels is not scored. min_task_labels: a task
    with fewer hold-out labels cannot prevent a promotion.
    """

    max_pooled_drop: float = 0.02
    max_task_drop: float = 0.05
    max_error_growth: float = 0.15
    min_set_labels: int = 5
    min_task_labels: int = 10


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutSet:
    """Hold-out labels of one set, and predictions for them; all arrays are (n,).

    champion: None if it does not know the task. before: which labels were in the champion's own hold-out.
    """

    name: str
    task: str
    architectures: NDArray[np.str_]
    values: Floats
    champion: Floats | None
    candidate: Floats
    before: NDArray[np.bool_]


def decide(held_out: Sequence[HeldOutSet], limits: GateLimits | None = None) -> GateDecision:
    """Promote a candidate that is better, or as good within noise, and worse than the limits on no task."""
    limits = limits or GateLimits()
    comparable = [s for s in held_out if s.champion is not None and len(s.values) >= limits.min_set_labels]
    if not comparable:
        return GateDecision(Verdict.PROMOTE, "no known set has enough hold-out labels to compare")
    figures = _figures(comparable, limits)
    pooled = figures.pooled
    scores = f"pooled hold-out score {pooled.champion:.3f} -> {pooled.candidate:.3f}"
    if figures.high < 0:
        return GateDecision(Verdict.KEEP, f"{scores}: worse, and not by chance", figures)
    if pooled.gain < -limits.max_pooled_drop:
        return GateDecision(Verdict.KEEP, f"{scores}: fell by more than {limits.max_pooled_drop:g}", figures)
    if objection := next(filter(None, (_objection(task, limits) for task in figures.tasks)), None):
        return GateDecision(Verdict.KEEP, f"{scores}, but {objection}", figures)
    comparison = "better" if figures.low > 0 else "as good within noise"
    return GateDecision(Verdict.PROMOTE, f"{scores}: {comparison}", figures)


def spearman(first: Floats, second: Floats) -> float:
    """Return the rank correlation of (n,) and (n,); 0 if all values of either are equal."""
    return float(np.nan_to_num(rank_correlation(first, second)))


def _objection(task: TaskFigures, limits: GateLimits) -> str | None:
    """Return why a task prevents the promotion; None if it does not."""
    views = [("", task.tested, task.score), (" on labels known before", task.tested_before, task.before)]
    for where, count, score in views:
        if count >= limits.min_task_labels and score.gain < -limits.max_task_drop:
            scores = f"{score.champion:.3f} -> {score.candidate:.3f}"
            return f"task {task.task}{where} {scores}, more than {limits.max_task_drop:g}"
    if task.tested >= limits.min_task_labels and task.error.gain > limits.max_error_growth:
        errors = f"{task.error.champion:.2f} -> {task.error.candidate:.2f}"
        return f"task {task.task} errs by {errors} deviations, more than {limits.max_error_growth:g}"
    return None


def _figures(sets: Sequence[HeldOutSet], limits: GateLimits) -> GateFigures:
    by_task = defaultdict[str, list[HeldOutSet]](list)
    for labels in sets:
        by_task[labels.task].append(labels)
    tasks = tuple(_task_figures(task, of_task, limits) for task, of_task in sorted(by_task.items()))
    weights = np.array([len(labels.values) for labels in sets], np.float64)
    low, high = _gain_interval(sets, weights)
    return GateFigures(int(weights.sum()), _pooled_score(sets), low, high, tasks)


def _task_figures(task: str, sets: Sequence[HeldOutSet], limits: GateLimits) -> TaskFigures:
    earlier = [_take(labels, labels.before) for labels in sets]
    earlier = [labels for labels in earlier if len(labels.values) >= limits.min_set_labels]
    return TaskFigures(
        task=task,
        tested=sum(len(labels.values) for labels in sets),
        score=_pooled_score(sets),
        error=ScorePair(
            _median_error([_champion_mean(labels) for labels in sets], sets),
            _median_error([labels.candidate for labels in sets], sets),
        ),
        tested_before=sum(len(labels.values) for labels in earlier),
        before=_pooled_score(earlier) if earlier else ScorePair(0.0, 0.0),
    )


def _pooled_score(sets: Sequence[HeldOutSet]) -> ScorePair:
    weights = [len(labels.values) for labels in sets]
    scores = [
        (spearman(_champion_mean(labels), labels.values), spearman(labels.candidate, labels.values)) for labels in sets
    ]
    champion, candidate = np.average(np.array(scores), axis=0, weights=weights)
    return ScorePair(float(champion), float(candidate))


def _median_error(predicted: Sequence[Floats], sets: Sequence[HeldOutSet]) -> float:
    """Return the median absolute error, in robust standard deviations of each set's labels."""
    errors = []
    for means, labels in zip(predicted, sets, strict=True):
        deviation = _SD_PER_MAD * float(np.median(np.abs(labels.values - np.median(labels.values))))
        errors.append(np.abs(means - labels.values) / (deviation or 1.0))
    return float(np.median(np.concatenate(errors)))


def _gain_interval(sets: Sequence[HeldOutSet], weights: Floats) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the pooled score's gain. All sets share the resampled architectures."""
    names, indices = np.unique(np.concatenate([labels.architectures for labels in sets]), return_inverse=True)
    parts = np.split(indices, np.cumsum([len(labels.values) for labels in sets])[:-1])
    rng, size = np.random.default_rng(0), len(names)
    counts = np.stack([np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(_BOOTSTRAP_SAMPLES)])
    gains = np.zeros(_BOOTSTRAP_SAMPLES)
    for labels, part, weight in zip(sets, parts, weights / weights.sum(), strict=True):
        candidate, champion = (
            bootstrap_rank_correlation(means, labels.values, counts[:, part])
            for means in (labels.candidate, _champion_mean(labels))
        )
        gains += weight * (np.nan_to_num(candidate) - np.nan_to_num(champion))
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)


def _champion_mean(labels: HeldOutSet) -> Floats:
    assert labels.champion is not None
    return labels.champion


def _take(labels: HeldOutSet, rows: NDArray[np.bool_]) -> HeldOutSet:
    return HeldOutSet(
        labels.name,
        labels.task,
        labels.architectures[rows],
        labels.values[rows],
        _champion_mean(labels)[rows],
        labels.candidate[rows],
        labels.before[rows],
    )
