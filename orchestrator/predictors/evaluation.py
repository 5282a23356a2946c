"""Questions to models, answered in parallel processes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, cast

from orchestrator.errors import ConfigError
from predictor.evaluation import SPLITS, Answer, Round, Split, answers, questions, rounds
from predictor.evaluation.protocol import FEWEST_ASKED, Labels
from predictor.label_set import LabelSet
from predictor.models import get_model, model_names


def evaluate_models(
    sets: Sequence[LabelSet],
    patterns: Sequence[str],
    splits: Sequence[str],
    labels: Sequence[Labels],
    models: Sequence[str],
    seeds: int,
    show: Callable[[int, int], None] = lambda done, total: None,
    jobs: int | None = None,
    known: Sequence[str] = (),
) -> list[Answer]:
    """All answers, cell after cell, for `predictor.evaluation.summarise`. Empty patterns, splits or models mean all.

    known: parts of names; other sets than the targets are left out where they have none of them. jobs: processes; None:
    as many as there are cores.

    A cell is missing where a model had nothing to learn from: no labels of the set, and no other sets that are allowed.

    Raises ConfigError where nothing fits, ModelError for a model that does not exist.
    """
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"--split {split}: choose one of {', '.join(SPLITS)}")
    for name in models:
        get_model(name)
    targets = [one.name for one in sets if not patterns or any(pattern in one.name for pattern in patterns)]
    if not targets:
        known = ", ".join(one.name for one in sets)
        if not known:
            raise ConfigError("--store: it has no labels with graphs: make some with `orchestrator label` or `import`")
        raise ConfigError(f"--target {' '.join(patterns)}: no set of labels is called so; there are: {known}")
    if known:
        sets = [one for one in sets if one.name in targets or any(pattern in one.name for pattern in known)]
    chosen = [cast(Split, split) for split in splits] or list(SPLITS)
    asked = list(questions(sets, targets, chosen, labels, seeds))
    if not asked:
        least = max((count for count in labels if isinstance(count, int)), default=0) + FEWEST_ASKED
        raise ConfigError(f"--labels: no set has {least} architectures, known and asked: lower --labels or label more")
    played, found = rounds(asked), list[Answer]()
    for number, more in enumerate(_in_parallel(played, list(models) or model_names(), jobs or -1)):
        found += more
        show(number + 1, len(played))
    return sorted(found, key=lambda one: (one.target, SPLITS.index(one.split), str(one.labels).zfill(9)))


def _in_parallel(played: Sequence[Round], models: Sequence[str], processes: int) -> Any:
    """Answers of all models in one round after another, in their order, as they come."""
    joblib: Any = importlib.import_module("joblib")
    asked = (joblib.delayed(_all_answers)(one, models) for one in played)
    return joblib.Parallel(n_jobs=processes, return_as="generator")(asked)


def _all_answers(one: Round, models: Sequence[str]) -> list[Answer]:
    return [found for model in models for found in answers(one, model)]
