"""The champion's predictions for its hold-out: labels of its store version that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.predictors.generations import champion_number, generation_folder, snapshot_folder
from orchestrator.predictors.holdout import split_hold_out
from orchestrator.predictors.label_sets import build_label_sets
from orchestrator.predictors.ranking import known_rank_correlation
from orchestrator.predictors.snapshot_file import SnapshotError, read_snapshot
from predictor import Predictor
from predictor.evaluation.metrics import score_prediction
from predictor.generation import GenerationError
from predictor.label_set import Floats, LabelSet
from predictor.metadata import HoldOutScores
from predictor.models import Prediction

_MIN_TESTED = 5  # as in the generation's own report
_MAX_EXPLAINED = 300  # networks of a set


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutSet:
    """Labels of one set, (n,), and their prediction. scores: as in the generation's own report.

    flops, params: rank correlation of the cost with the labels; None if it is undefined. explained: labels of the set
    with those that were learned, at most 300. predicted: (explained,) means of them.
    """

    labels: LabelSet
    prediction: Prediction
    scores: HoldOutScores
    flops: float | None
    params: float | None
    explained: LabelSet
    predicted: Floats

    @property
    def has_intervals(self) -> bool:
        """Whether the predictor gives a scale, and does not only rank."""
        return bool(np.isfinite(self.prediction.deviation).all())


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """The sets, those with most labels first. missing: why there are none."""

    generation: int | None
    sets: Sequence[HeldOutSet]
    missing: str = ""


def predict_held_out(predictors: Path) -> HeldOutPredictions:
    """Return the champion's predictions for its hold-out, read from the snapshot next to it."""
    number = champion_number(predictors)
    if number is None:
        return HeldOutPredictions(None, (), "No predictor yet: train one with `orchestrator train`.")
    generation = generation_folder(predictors, number)
    try:
        predictor, snapshot = Predictor.load(generation), read_snapshot(snapshot_folder(generation))
    except (GenerationError, SnapshotError) as error:
        reason = f"Generation {number} cannot predict its hold-out ({error}): train one with `orchestrator train`."
        return HeldOutPredictions(number, (), reason)
    names = {learned.kind: learned.name for learned in predictor.metadata.sets}
    recorded = {scores.set_name: scores for scores in predictor.metadata.hold_out}
    found = []
    for identity, labels in build_label_sets(snapshot)[0].items():
        labels = replace(labels, name=names.get(identity.to_kind(), labels.name))
        held_out = split_hold_out(labels)[1]
        if len(held_out) >= _MIN_TESTED and held_out.name in recorded:
            found.append(_predicted(predictor, held_out, labels.take(np.arange(min(len(labels), _MAX_EXPLAINED)))))
    found.sort(key=lambda one: (-len(one.labels), one.labels.name))
    few = f"Generation {number} has no label set with {_MIN_TESTED} held-out labels: label more (`orchestrator label`)."
    return HeldOutPredictions(number, found, "" if found else few)


def _predicted(predictor: Predictor, labels: LabelSet, explained: LabelSet) -> HeldOutSet:
    prediction = predictor.predict_set(labels)
    result = score_prediction(prediction, labels.values, labels.lower_is_better)
    scores = HoldOutScores(
        set_name=labels.name,
        task=labels.task,
        tested=len(labels),
        mae=_finite(result.mae),
        spearman=result.spearman,
        kendall=result.kendall,
        regret=result.regret,
        coverage=_finite(result.coverage),
    )
    flops, params = (known_rank_correlation(labels.column(name), labels.values) for name in ("log_flops", "log_params"))
    return HeldOutSet(labels, prediction, scores, flops, params, explained, predictor.predict_set(explained).mean)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
