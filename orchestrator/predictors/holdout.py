"""The hold-out of a generation: a fixed tenth of the architectures, on which generations are scored and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.predictors.label_sets import LabelSetIdentity
from predictor.evaluation.metrics import score_prediction
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata, HoldOutScores, LearnedSet

if TYPE_CHECKING:
    from predictor import Predictor

_MIN_TESTED = 5  # a set with fewer held-out labels is not scored


def split_hold_out(labels: LabelSet) -> tuple[LabelSet, LabelSet]:
    """Return the labels to train on, and the held-out labels, chosen by a hash of the architecture's id."""
    from predictor.networks.examples import TEST_FOLD, folds

    mask = folds(labels.architectures) == TEST_FOLD
    return labels.take(~mask), labels.take(mask)


def hold_out_report(predictor: Predictor, held_out: Sequence[LabelSet]) -> tuple[HoldOutScores, ...]:
    """Return the scores of each set that has enough held-out labels and whose task the predictor knows."""
    known, rows = set(predictor.known), []
    for labels in held_out:
        if len(labels) < _MIN_TESTED or (labels.task, labels.data) not in known:
            continue
        result = score_prediction(predictor.predict_set(labels), labels.values, labels.lower_is_better)
        rows.append(
            HoldOutScores(
                set_name=labels.name,
                task=labels.task,
                tested=len(labels),
                mae=result.mae if np.isfinite(result.mae) else None,
                spearman=result.spearman,
                kendall=result.kendall,
                regret=result.regret,
                coverage=result.coverage if np.isfinite(result.coverage) else None,
            )
        )
    return tuple(rows)


def describe_generation(
    model: str, store: str, version: int, trained_on: Mapping[LabelSetIdentity, LabelSet], without_graph: int
) -> GenerationMetadata:
    """Return the metadata of a new generation, before its hold-out scores are known."""
    return GenerationMetadata(
        model=model,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        store=store,
        version=version,
        labels=sum(map(len, trained_on.values())),
        without_graph=without_graph,
        sets=tuple(
            LearnedSet(
                name=labels.name,
                task=labels.task,
                data=labels.data,
                space=labels.space,
                labels=len(labels),
                kind=identity.to_kind(),
            )
            for identity, labels in trained_on.items()
        ),
    )
