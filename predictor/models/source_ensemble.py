"""Scores of networks by all source tasks: by one joint graph network and by a Gaussian process for each task.

Both give standard scores and a variance, which grows with the distance to the training data. The two scores of a task
are averaged by inverse variance. The variance of the graph network grows faster, so that it counts most within the
range of the training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats, LabelSet
from predictor.models.base import MIN_SUPPORT, Arrays, ModelError, State, strip_prefix
from predictor.models.cost_trend import CostTrend
from predictor.models.scaling import PowerTransform, variance_factor
from predictor.models.small_tasks import MERGED_PREFIX, group_indices, merge_group, merge_small_tasks
from predictor.models.source_task import SourceTask
from predictor.networks.examples import STOP_FOLD, folds
from predictor.networks.fitting import Checkpointer, TrainingSettings
from predictor.networks.multi_head import MultiHeadPredictor, fit_jointly, update_jointly

Mask = NDArray[np.bool_]

# Variances are in squared standard scores.
_PROCESS_OOD_VARIANCE = 30.0  # added to a process's variance at an out-of-distribution distance of 1
_NETWORK_OOD_VARIANCE = 300.0  # the same for the graph network, which extrapolates worse
_OTHER_TASK_VARIANCE = 0.3  # added for a source task of another task or data set
_FACTOR_PRIOR_LABELS = 10.0  # labels' worth of prior that predicted variances are right
_SHARED_ERROR_VARIANCE = 1.0  # of the error that all other tasks have in common


@dataclass(frozen=True, slots=True, eq=False)
class SourceSelection:
    """The source tasks that are used for a query, and how they relate to it.

    count: the first `count` tasks are used. Columns of scores are these tasks and the trend with cost, if it is known.
    same_unit: (columns,) whose labels have the query's unit. related: (columns,) the same, or if there are none, those
    of the same task and data set.
    """

    count: int
    same_unit: Mask
    related: Mask

    def without_trend(self) -> SourceSelection:
        """Return the same tasks, without the trend with cost."""
        return SourceSelection(self.count, self.same_unit[: self.count], self.related[: self.count])


@dataclass(slots=True, eq=False)
class SourceEnsemble:
    """All source tasks.

    visible: for each task, how many of the first tasks its own queries use; stored as "heard". network: with a head
    for each task; None if there are no tasks. network_variance: (tasks,) of the network's held-out errors, stored as
    "missed". statistic_unit: (statistics,) the unit of out-of-distribution distances, stored as "spread". base_tasks:
    number of first tasks that came with another generation, without their labels; stored as "base".
    """

    seed: int
    tasks: list[SourceTask]
    visible: list[int]
    network: MultiHeadPredictor | None
    network_variance: Floats
    statistic_unit: Floats
    cost_trend: CostTrend | None
    error_factor: Floats
    base_tasks: int = 0

    @classmethod
    def fit(
        cls, sources: Sequence[LabelSet], seed: int, checkpointer: Checkpointer, settings: TrainingSettings
    ) -> SourceEnsemble:
        """Train on label sets, of which there may be none."""
        merged = merge_small_tasks(sources)
        tasks = [SourceTask.fit(source, seed) for source in merged]
        if not tasks:
            return cls(seed, [], [], None, np.zeros(0), np.ones(len(STATISTICS)), None, np.zeros(0))
        scores = [task.scores(source) for task, source in zip(tasks, merged, strict=True)]
        network, variance = fit_jointly(merged, scores, seed, checkpointer, settings)
        trend, unit, visible = CostTrend.fit(merged, scores), _statistic_unit(sources), [len(tasks)] * len(tasks)
        ensemble = cls(seed, tasks, visible, network, variance, unit, trend, np.ones(len(tasks)))
        ensemble.error_factor = ensemble._without_stop_fold(merged)._error_factors(merged)
        return ensemble

    def update(
        self,
        sources: Sequence[LabelSet],
        fresh: Sequence[Mask],
        checkpointer: Checkpointer,
        settings: TrainingSettings,
    ) -> None:
        """Continue training, see `Model.update`. There must be source tasks already."""
        if self.base_tasks:
            self.extend(sources)
            return
        groups = group_indices(sources)
        merged = [(merge_group(sources, group), np.concatenate([fresh[n] for n in group])) for group in groups]
        by_name = {source.name: (source, mask) for source, mask in [*zip(sources, fresh, strict=True), *merged]}
        names = [task.name for task in self.tasks]
        # Sets that were merged have grown since, and are now source tasks of their own.
        empty = sources[0].take(np.arange(0)), np.zeros(0, np.bool_)
        by_name |= {name: empty for name in names if name.startswith(MERGED_PREFIX) and name not in by_name}
        if missing := [name for name in names if name not in by_name]:
            raise ModelError(f"set {missing[0]}: was trained on, but is missing: train again, or name its store")
        if any(by_name[name][1].any() for name in names):
            self._update_tasks([by_name[name] for name in names], checkpointer, settings)
        added = [source for source, _ in merged if source.name not in names]
        known = len(self.tasks)
        for source in added:
            self._add_task(source)
        self.visible[known:] = [len(self.tasks)] * len(added)

    def extend(self, sources: Sequence[LabelSet]) -> None:
        """Add label sets to the tasks there are, whose labels are not at hand and which do not change.

        Those that were added before are replaced.
        """
        assert self.network is not None
        kept = self.base_tasks = self.base_tasks or len(self.tasks)
        self.tasks, self.visible = self.tasks[:kept], self.visible[:kept]
        self.network = self.network.first_heads(kept)
        self.network_variance, self.error_factor = self.network_variance[:kept], self.error_factor[:kept]
        added = merge_small_tasks(sources)
        for source in added:
            self._add_task(source)
        self.visible[kept:] = [len(self.tasks)] * len(added)

    def _update_tasks(
        self, sets: Sequence[tuple[LabelSet, Mask]], checkpointer: Checkpointer, settings: TrainingSettings
    ) -> None:
        """Train on all known sets, in their order, and which of their labels are new."""
        assert self.network is not None
        for number, (source, mask) in enumerate(sets):
            if mask.any():
                previous = self.tasks[number]
                task = self.tasks[number] = SourceTask.fit(source, self.seed, previous)
                self.network.rescale_head(number, *_linear_map(previous.transform, task.transform))
                self.visible[number] = len(self.tasks)
        sources, fresh = zip(*sets, strict=True)
        scores = [task.scores(source) for task, source in zip(self.tasks, sources, strict=True)]
        self.network_variance = update_jointly(self.network, sources, scores, fresh, self.seed, checkpointer, settings)
        self.statistic_unit = _statistic_unit(sources)
        self.cost_trend = CostTrend.fit(sources, scores)
        tested = self._without_stop_fold(sources)
        for number, (source, mask) in enumerate(sets):
            if mask.any():
                self.error_factor[number] = tested._error_factor(source, self.tasks[number])

    def _without_stop_fold(self, sources: Sequence[LabelSet]) -> SourceEnsemble:
        """Return the ensemble as if the networks of the stop fold were unlabelled in all tasks, as a new network is.

        The graph network was not trained on them. sources: of all tasks.
        """
        pairs = zip(sources, self.tasks, strict=True)
        return replace(self, tasks=[self._refitted_without_stop_fold(source, task) for source, task in pairs])

    def _refitted_without_stop_fold(self, source: LabelSet, task: SourceTask) -> SourceTask:
        return SourceTask.fit(source, self.seed, task, kept=folds(source.architectures) != STOP_FOLD)

    def _error_factors(self, sources: Sequence[LabelSet]) -> Floats:
        """Return (tasks,) the error factor of each task. sources: of all tasks."""
        pairs = zip(sources, self.tasks, strict=True)
        return np.array([self._error_factor(source, task) for source, task in pairs], np.float64)

    def _error_factor(self, source: LabelSet, task: SourceTask) -> float:
        """Return the mean squared error for a task's stop fold, in predicted variances; 1 if the fold is empty."""
        held_out = source.take(folds(source.architectures) == STOP_FOLD)
        if not len(held_out):
            return 1.0
        selection = self.select(held_out.take(np.arange(0)))
        mean, variance = combine(*self.scores(held_out, selection), selection)
        return variance_factor((task.scores(held_out) - mean) ** 2 / variance, _FACTOR_PRIOR_LABELS)

    def _add_task(self, source: LabelSet) -> None:
        """Add a task without changing the others: the graph network gets a new head only."""
        assert self.network is not None
        task = SourceTask.fit(source, self.seed)
        self.network, variance = self.network.with_head(source, task.scores(source))
        self.tasks.append(task)
        self.visible.append(len(self.tasks))
        self.network_variance = np.append(self.network_variance, variance)
        tested = replace(self, tasks=[*self.tasks[:-1], self._refitted_without_stop_fold(source, task)])
        self.error_factor = np.append(self.error_factor, tested._error_factor(source, task))

    def select(self, support: LabelSet) -> SourceSelection:
        """Return the tasks to use for queries of the support set's task. Only a support set without labels uses fewer.

        Then tasks that were added after the query's own task was last trained are not used: adding a task must not
        change predictions for others.
        """
        related = np.array([task.same_task_and_data(support) for task in self.tasks], np.bool_)
        count = len(self.tasks)
        if len(support) < MIN_SUPPORT and related.any():
            count = max(n for n, same in zip(self.visible, related, strict=True) if same)
        same_unit, of_task = np.zeros((2, count + (self.cost_trend is not None)), np.bool_)
        same_unit[:count] = [task.same_unit(support) for task in self.tasks[:count]]
        of_task[:count] = related[:count]
        # Sets of equal recipes may have other units, such as detectors of different methods.
        is_set = np.array([support.name in (task.name, *task.offsets) for task in self.tasks[:count]], np.bool_)
        if (same_unit[:count] & is_set).any():
            same_unit[:count] &= is_set
        # If there are labels of the same recipe, those of other recipes count as other data.
        return SourceSelection(count, same_unit, same_unit if same_unit.any() else of_task)

    def scores(self, query: LabelSet, selection: SourceSelection) -> tuple[Floats, Floats]:
        """Return (n, columns) standard scores by each task and by the trend with cost, and their variances."""
        if self.network is None or not selection.count:
            return np.zeros((len(query), 0)), np.zeros((len(query), 0))
        statistics = query.statistics
        by_process, deviation = self._process_scores(query, selection)
        distance = np.array([task.ood_distance(statistics, self.statistic_unit) for task in self._used(selection)]).T
        process_variance, network_variance = self._variances(deviation, distance)
        by_network = self.network.scores(query, selection.count)
        network_share = process_variance / (process_variance + network_variance)
        scores = by_process + network_share * (by_network - by_process)
        variances = _variance_of_mean(process_variance, network_variance)
        if self.cost_trend is not None:
            scores = np.column_stack([scores, self.cost_trend.scores(query)])
            variances = np.column_stack([variances, np.full(len(query), self.cost_trend.variance)])
        return scores, variances

    def support_variances(self, support: LabelSet, selection: SourceSelection) -> tuple[Floats, float]:
        """Return whether tasks cover the networks: (count,) variances of their scores, and that of the most certain.

        Both are means over the networks. What all networks have in common, such as the head of a new task, does not
        count: they are shifted into the range of each task together. Infinite if there are no tasks.
        """
        if not selection.count:
            return np.zeros(0), float("inf")
        variances = self._shifted_variances(support, selection)
        return variances.mean(axis=0), float(variances.min(axis=1).mean())

    def _shifted_variances(self, support: LabelSet, selection: SourceSelection) -> Floats:
        """Return (n, count) variances of the tasks' scores after the networks were shifted into the range of each."""
        statistics = support.statistics
        distance = [
            task.ood_distance(task.shift_into_range(statistics), self.statistic_unit) for task in self._used(selection)
        ]
        variances = self._variances(self._process_scores(support, selection)[1], np.array(distance).T)
        return _variance_of_mean(*variances)

    def state(self) -> State:
        """Return arrays by name, and what JSON can hold, for `restore`."""
        arrays: Arrays = {}
        if self.network is not None:
            arrays = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
            arrays |= {"missed": self.network_variance, "spread": self.statistic_unit, "factor": self.error_factor}
        if self.cost_trend is not None:
            arrays |= {f"trend.{name}": value for name, value in self.cost_trend.state().items()}
        tasks = []
        for number, task in enumerate(self.tasks):
            parts, settings = task.state()
            arrays |= {f"known.{number}.{name}": value for name, value in parts.items()}
            tasks.append(settings)
        base = {"base": self.base_tasks} if self.base_tasks else {}
        return arrays, {"seed": self.seed, "known": tasks, "heard": self.visible if tasks else []} | base

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> SourceEnsemble:
        """Inverse of `state`."""
        known = enumerate(settings["known"])
        tasks = [SourceTask.restore(strip_prefix(arrays, f"known.{number}."), task) for number, task in known]
        if not tasks:
            return cls(settings["seed"], [], [], None, np.zeros(0), np.ones(len(STATISTICS)), None, np.zeros(0))
        visible = list(settings.get("heard", [len(tasks)] * len(tasks)))  # missing in early generations
        network = MultiHeadPredictor.restore(strip_prefix(arrays, "network."), len(tasks))
        trend = CostTrend.restore(strip_prefix(arrays, "trend.")) if "trend.slopes" in arrays else None
        factor = arrays.get("factor", np.ones(len(tasks)))  # missing in generations written by early versions
        parts = network, arrays["missed"], arrays["spread"], trend, factor
        return cls(settings["seed"], tasks, visible, *parts, settings.get("base", 0))

    def _used(self, selection: SourceSelection) -> list[SourceTask]:
        return self.tasks[: selection.count]

    def _process_scores(self, query: LabelSet, selection: SourceSelection) -> tuple[Floats, Floats]:
        """Return (n, count) standard scores by the processes, and their standard deviations."""
        table = query.table
        predictions = [task.predict(table) for task in self._used(selection)]
        scores, deviation = (np.array(part).T for part in zip(*predictions, strict=True))
        return scores, deviation

    def _variances(self, deviation: Floats, distance: Floats) -> tuple[Floats, Floats]:
        """Return (n, count) variances of processes and of the network. distance: (n, count) out of distribution."""
        network_variance = self.network_variance[: deviation.shape[1]]
        return (
            deviation**2 + _PROCESS_OOD_VARIANCE * distance**2,
            network_variance + _NETWORK_OOD_VARIANCE * distance**2,
        )


def task_weights(variance: Floats, selection: SourceSelection) -> Floats:
    """Return (n, columns) weights of the scores, with sum 1: by inverse variance, less for unrelated tasks."""
    related = selection.related
    precision = 1 / with_other_task_variance(variance, selection)
    if related.any() and not related.all():
        # Unrelated tasks have a common error, so that their joint precision is bounded however many there are.
        joint = 1 / (_SHARED_ERROR_VARIANCE + 1 / (1 / variance[:, ~related]).sum(axis=1))
        precision[:, ~related] = normalised(precision[:, ~related]) * joint[:, None]
    return normalised(precision)


def combine(scores: Floats, variance: Floats, selection: SourceSelection) -> tuple[Floats, Floats]:
    """Return (n,) means and variances of the weighted scores, disagreement included. scores, variance: (n, columns)."""
    weights = task_weights(variance, selection)
    mean: Floats = (weights * scores).sum(axis=1)
    within = np.minimum(with_other_task_variance(variance, selection), 1.0)
    return mean, (weights * (within + (scores - mean[:, None]) ** 2)).sum(axis=1)


def with_other_task_variance(variance: Floats, selection: SourceSelection) -> Floats:
    """Return (n, columns) variances, those of unrelated tasks increased."""
    return variance + _OTHER_TASK_VARIANCE * ~selection.related


def normalised(weights: Floats) -> Floats:
    """Return (n, tasks) weights with the sum 1 in each row."""
    rows: Floats = weights / weights.sum(axis=1, keepdims=True)
    return rows


def _linear_map(before: PowerTransform, after: PowerTransform) -> tuple[float, float]:
    """Return slope and offset of the line closest to the map from one transform's standard scores to the other's."""
    scores = np.linspace(-2.0, 2.0, 41)
    slope, offset = np.polyfit(scores, after(before.inverse(scores)), 1)
    return float(slope), float(offset)


def _variance_of_mean(variance: Floats, other: Floats) -> Floats:
    """Return the variance of the inverse-variance weighted mean of two scores."""
    of_mean: Floats = 1 / (1 / variance + 1 / other)
    return of_mean


def _statistic_unit(sources: Sequence[LabelSet]) -> Floats:
    """Return (statistics,) the standard deviation of each over all networks; 1 if it is constant."""
    deviation = np.concatenate([source.statistics for source in sources]).std(axis=0)
    return np.where(deviation > 0, deviation, 1.0)
