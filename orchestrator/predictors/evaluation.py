"""Evaluate models on label sets, in parallel processes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from orchestrator.errors import ConfigError
from predictor.evaluation import SPLITS, Answer, QuestionBatch, Split, answer_batch, batch_questions, make_questions
from predictor.evaluation.protocol import MIN_QUERY, SupportSize
from predictor.label_set import LabelSet
from predictor.models import get_model, model_names


def evaluate_models(
    sets: Sequence[LabelSet],
    patterns: Sequence[str],
    splits: Sequence[str],
    support_sizes: Sequence[SupportSize],
    models: Sequence[str],
    seeds: int,
    show: Callable[[int, int], None] = lambda done, total: None,
    jobs: int | None = None,
    known: Sequence[str] = (),
) -> list[Answer]:
    """Return the answers of all models to all questions, for `predictor.evaluation.summarise`.

    patterns: parts of the names of target sets. known: parts of the names of the other sets that models may be trained
    on. support_sizes: numbers of known labels of the target. Empty patterns, splits, models or known mean all. jobs:
    number of processes; None: one per core. An answer is missing if a model has no labels to train on.

    Raises ConfigError if the options select nothing, ModelError for an unknown model.
    """
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"--split {split}: choose one of {', '.join(SPLITS)}")
    for model in models:
        get_model(model)
    targets = _target_names(sets, patterns)
    if known:
        sets = [s for s in sets if s.name in targets or any(pattern in s.name for pattern in known)]
    chosen_splits = [cast(Split, split) for split in splits] or list(SPLITS)
    questions = list(make_questions(sets, targets, chosen_splits, support_sizes, seeds))
    if not questions:
        needed = max((count for count in support_sizes if isinstance(count, int)), default=0) + MIN_QUERY
        raise ConfigError(f"--labels: no label set has {needed} architectures: lower --labels or label more")
    batches, all_answers = batch_questions(questions), list[Answer]()
    for number, batch_answers in enumerate(_in_parallel(batches, list(models) or model_names(), jobs or -1)):
        all_answers += batch_answers
        show(number + 1, len(batches))
    return sorted(
        all_answers, key=lambda answer: (answer.target, SPLITS.index(answer.split), _padded(answer.support_size))
    )


def _target_names(sets: Sequence[LabelSet], patterns: Sequence[str]) -> list[str]:
    """Return the names that contain one of the patterns, or all names. Raises ConfigError if there are none."""
    targets = [s.name for s in sets if not patterns or any(pattern in s.name for pattern in patterns)]
    if not sets:
        raise ConfigError("--store: has no labels with graphs: make some with `orchestrator label` or `import`")
    if not targets:
        names = ", ".join(s.name for s in sets)
        raise ConfigError(f"--target {' '.join(patterns)}: no label set has such a name; there are: {names}")
    return targets


def _padded(support_size: SupportSize) -> str:
    """Return a key that sorts numbers by value, and "others" last."""
    return str(support_size).zfill(9)


def _in_parallel(batches: Sequence[QuestionBatch], models: Sequence[str], processes: int) -> Iterator[list[Answer]]:
    """Yield the answers of all models to each batch of questions, in their order."""
    joblib: Any = importlib.import_module("joblib")
    calls = (joblib.delayed(_answers_of_models)(batch, models) for batch in batches)
    results: Iterator[list[Answer]] = joblib.Parallel(n_jobs=processes, return_as="generator")(calls)
    return results


def _answers_of_models(batch: QuestionBatch, models: Sequence[str]) -> list[Answer]:
    return [answer for model in models for answer in answer_batch(batch, model)]
