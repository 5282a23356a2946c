"""Families of published networks: each is predicted from the labels of all others, and all are scored together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from predictor.evaluation.metrics import score_prediction
from predictor.evaluation.protocol import Answer
from predictor.label_set import LabelSet
from predictor.models import Prediction

_MIN_FAMILY = 3  # networks, for a rank correlation inside a family


def join_family_sets(sets: Sequence[LabelSet]) -> list[LabelSet]:
    """Return the sets, with those of single families joined to one set per task, data set and recipe.

    The space of such a set is SPACE-FAMILY. All sets share one pool of graphs, as the sets of a store do.
    """
    groups: dict[tuple[object, ...], list[LabelSet]] = defaultdict(list)
    for labels in sets:
        space = _space_of_families(labels)
        key = (space, labels.task, labels.data, labels.recipes) if space != labels.space else (labels.name,)
        groups[key].append(labels)
    return [group[0] if len(key) == 1 else _joined(group) for key, group in groups.items()]


def join_family_answers(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers, with those about the families of one set joined to one, in which all networks are ranked."""
    groups: dict[tuple[object, ...], list[Answer]] = defaultdict(list)
    for number, answer in enumerate(answers):
        is_part = answer.families is not None
        groups[(answer.target, answer.seed, answer.model) if is_part else (number,)].append(answer)
    return [group[0] if len(group) == 1 else _scored_together(group) for group in groups.values()]


def spearman_within(answer: Answer) -> float:
    """Return the mean rank correlation inside families of three networks or more; NaN if there are none."""
    families = np.array([], np.str_) if answer.families is None else answer.families
    names, sizes = np.unique(families, return_counts=True)
    correlations = []
    for name in names[sizes >= _MIN_FAMILY]:
        rows = families == name
        prediction = Prediction(answer.prediction.mean[rows], answer.prediction.deviation[rows])
        correlations.append(score_prediction(prediction, answer.measured[rows], answer.are_costs).spearman)
    return float(np.mean(correlations)) if correlations else float("nan")


def _space_of_families(labels: LabelSet) -> str:
    """Return the space without the family, if its name ends in the only family of the set."""
    families: list[str] = [] if labels.families is None else np.unique(labels.families).tolist()
    return labels.space.removesuffix(f"-{families[0]}") if len(families) == 1 else labels.space


def _joined(parts: Sequence[LabelSet]) -> LabelSet:
    first, space = parts[0], _space_of_families(parts[0])
    return replace(
        LabelSet.join(parts),
        name=space + first.name.removeprefix(first.space),
        space=space,
        families=np.concatenate([part.families for part in parts if part.families is not None]),
    )


def _scored_together(parts: Sequence[Answer]) -> Answer:
    first, measured = parts[0], np.concatenate([part.measured for part in parts])
    prediction = Prediction(
        np.concatenate([part.prediction.mean for part in parts]),
        np.concatenate([part.prediction.deviation for part in parts]),
    )
    return replace(
        first,
        query_size=len(measured),
        scores=score_prediction(prediction, measured, first.are_costs),
        prediction=prediction,
        measured=measured,
        families=np.concatenate([part.families for part in parts if part.families is not None]),
    )
