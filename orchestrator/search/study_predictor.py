"""Predictions for a study: the value of the search and the latency of networks that are not labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.search.chooser import SetName
from orchestrator.search.distances import Floats
from orchestrator.search.evolution import Score, Scores
from orchestrator.search.limits import FLOPS, LATENCY
from orchestrator.search.networks import StudyNetworks
from orchestrator.search.profile import cost_table, exact_excess
from orchestrator.search.study_labels import StudyLabels
from orchestrator.search.surrogate import AdaptedModel, PredictLabels, Surrogate
from predictor.label_set import LabelSet
from workers.messages.architecture import Architecture

_MIN_LATENCIES = 5  # measurements before latency is predicted
_LEAST_MS = 1e-6


@dataclass(frozen=True, slots=True)
class Objective:
    """A task of a study. name: of its label set. weight: in the value of the search, if there are several tasks."""

    name: SetName
    surrogate: Surrogate
    weight: float = 1.0


class StudyPredictor:
    """Predicts from the labels of a study."""

    def __init__(self, space: str, networks: StudyNetworks, objectives: Mapping[str, Objective]) -> None:
        """objectives: by task, in the order of the tasks."""
        self._space, self._networks, self._objectives = space, networks, dict(objectives)

    def score_with(self, labels: StudyLabels, limits: Mapping[str, float], axis: str) -> Score:
        """Return the function that scores architectures for an evolution. With too few labels all values are 0."""
        adapted = self._adapted(labels) if labels.enough else None
        latency = self._adapted_latency(labels)

        def score(architectures: Sequence[Architecture]) -> tuple[list[Architecture], Scores]:
            built = self._networks.add(architectures)
            table = cost_table(self._networks, built)
            excess = exact_excess(table, limits)
            if latency is not None and built:
                table[LATENCY] = self._milliseconds(latency, labels, built)
                if LATENCY in limits:
                    excess = excess + np.maximum(table[LATENCY] / limits[LATENCY] - 1, 0.0)
            cost = table.get(axis, table[FLOPS])
            if adapted is None or not built:
                return built, Scores(np.zeros(len(built)), np.zeros(len(built)), cost, excess)
            return built, Scores(*self._combined(adapted, labels, built), cost, excess)

        return score

    def predict(self, labels: StudyLabels, architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Return (n,) predicted values of the search and deviations; NaN with too few labels."""
        if not labels.enough or not architectures:
            return (nothing := np.full(len(architectures), math.nan)), nothing
        return self._combined(self._adapted(labels), labels, architectures)

    def _adapted(self, labels: StudyLabels) -> dict[str, PredictLabels]:
        known = labels.architectures()
        return {
            task: objective.surrogate.adapted(self._label_set(task, known, labels.of(task, known)))
            for task, objective in self._objectives.items()
        }

    def _combined(
        self, adapted: Mapping[str, PredictLabels], labels: StudyLabels, built: Sequence[Architecture]
    ) -> tuple[Floats, Floats]:
        """Return (n,) the label, or the weighted sum over tasks, and its deviation."""
        mean, variance, scales = np.zeros(len(built)), np.zeros(len(built)), labels.scales()
        for task, predict in adapted.items():
            prediction = predict(self._label_set(task, built, np.full(len(built), math.nan)))
            mean += (prediction.mean - scales[task].centre) / scales[task].unit
            variance += (np.nan_to_num(prediction.deviation) / scales[task].unit) ** 2
        return mean, np.sqrt(variance)

    def _adapted_latency(self, labels: StudyLabels) -> PredictLabels | None:
        """Return a predictor of latency; None if too few were measured."""
        known = sorted(labels.latencies, key=lambda a: a.id)
        if len(known) < _MIN_LATENCIES:
            return None
        values = np.array([labels.latencies[a] for a in known])
        return AdaptedModel().adapted(self._label_set(LATENCY, known, values))

    def _milliseconds(self, predict: PredictLabels, labels: StudyLabels, built: Sequence[Architecture]) -> Floats:
        """Return (n,) milliseconds: measured where that is known, else predicted."""
        mean = predict(self._label_set(LATENCY, built, np.full(len(built), math.nan))).mean
        known = np.array([labels.latencies.get(a, math.nan) for a in built])
        return np.asarray(np.maximum(np.where(np.isnan(known), mean, known), _LEAST_MS), np.float64)

    def _label_set(self, task: str, architectures: Sequence[Architecture], values: Floats) -> LabelSet:
        """Return labels of a task. Latency is that of the first task's networks."""
        owner = task if task in self._objectives else next(iter(self._objectives))
        networks, name = self._networks.by_task[owner], self._objectives[owner].name
        ids, rows = np.array([a.id for a in architectures], np.str_), networks.rows(architectures)
        recipes = (name.recipe,) if name.recipe and owner == task else ()
        title = f"{self._space}/{task}/{name.data}"
        return LabelSet(title, self._space, task, name.data, ids, values, rows, networks.pool, recipes=recipes)
