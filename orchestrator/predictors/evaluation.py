"""Evaluate models on label sets, in parallel processes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from orchestrator.errors import ConfigError
from predictor.evaluation import (
    DEFAULT_SPLITS,
    SPLITS,
    Answer,
    Question,
    QuestionBatch,
    Split,
    answer_batch,
    batch_questions,
    join_family_answers,
    join_family_sets,
    make_questions,
)
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
    on_answers: Callable[[list[Answer], int, int], None] | None = None,
) -> list[Answer]:
    """Return the answers of all models to all questions, for `predictor.evaluation.summarise`.

    patterns: of the names of target sets, see `matching_names`. known: likewise of the other sets that models may be
    trained on. support_sizes: numbers of known labels of the target. Empty patterns, models or known mean all, empty
    splits mean `DEFAULT_SPLITS`. jobs: number of processes; None: one per core. on_answers: called after each batch
    with all answers so far, and the numbers of batches done and in all. An answer is missing if a model has no labels
    to train on.

    Raises ConfigError if the options select nothing, ModelError for an unknown model.
    """
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"--split {split}: choose one of {', '.join(SPLITS)}")
    for model in models:
        get_model(model)
    chosen = [cast(Split, split) for split in dict.fromkeys(splits)] or list(DEFAULT_SPLITS)
    batches = batch_questions(_questions(sets, patterns, chosen, list(dict.fromkeys(support_sizes)), seeds, known))
    if not batches:
        raise ConfigError(_nothing_to_ask(chosen, support_sizes))
    answers = list[Answer]()
    names = list(dict.fromkeys(models)) or model_names()
    for number, batch_answers in enumerate(_in_parallel(batches, names, jobs or -1)):
        answers += batch_answers
        show(number + 1, len(batches))
        if on_answers is not None:
            on_answers(_in_order(answers, names), number + 1, len(batches))
    return _in_order(answers, names)


def matching_names(names: Sequence[str], patterns: Sequence[str], option: str) -> list[str]:
    """Return the names that equal a pattern or, for a pattern that is no name, contain it; all without patterns.

    Raises ConfigError for a pattern that selects nothing. option: where the patterns come from.
    """
    if not names:
        raise ConfigError("--store: has no labels with graphs: make some with `orchestrator label` or `import`")
    chosen = set[str]()
    for pattern in patterns:
        found = {pattern} & set(names) or {name for name in names if pattern in name}
        if not found:
            raise ConfigError(f"{option} {pattern}: no label set has such a name; there are: {', '.join(names)}")
        chosen |= found
    return [name for name in names if name in chosen or not patterns]


def selected_names(
    sets: Sequence[LabelSet], patterns: Sequence[str], splits: Sequence[str], option: str = "--target"
) -> list[str]:
    """Return the names that patterns select among the sets of the chosen splits."""
    by_family = join_family_sets(sets) if "family" in splits else []
    others = sets if set(splits) != {"family"} else []
    return matching_names(list(dict.fromkeys(s.name for s in [*others, *by_family])), patterns, option)


def _questions(
    sets: Sequence[LabelSet],
    patterns: Sequence[str],
    splits: Sequence[Split],
    support_sizes: Sequence[SupportSize],
    seeds: int,
    known: Sequence[str],
) -> Iterator[Question]:
    targets = selected_names(sets, patterns, splits)
    sources = set(selected_names(sets, known, splits, "--known")) | set(targets)
    by_family: tuple[Split, ...] = ("family",)
    of_all = [split for split in splits if split not in by_family]
    for candidates, chosen in ((sets, of_all), (join_family_sets(sets), [s for s in splits if s in by_family])):
        if chosen:
            visible = [labels for labels in candidates if labels.name in sources]
            yield from make_questions(visible, targets, chosen, support_sizes, seeds)


def _nothing_to_ask(splits: Sequence[Split], support_sizes: Sequence[SupportSize]) -> str:
    if list(splits) == ["family"]:
        return f"--split family: no label set has several families and {MIN_QUERY} architectures: import more"
    needed = max((count for count in support_sizes if isinstance(count, int)), default=0) + MIN_QUERY
    return f"--labels: no label set has {needed} architectures: lower --labels or label more"


def _in_order(answers: Sequence[Answer], models: Sequence[str]) -> list[Answer]:
    def position(answer: Answer) -> tuple[str, int, str, int, int]:
        size = _padded(answer.support_size)
        return answer.target, SPLITS.index(answer.split), size, models.index(answer.model), answer.seed

    return sorted(join_family_answers(answers), key=position)


def _padded(support_size: SupportSize) -> str:
    """Return a key that sorts numbers by value, and "others" last."""
    return str(support_size).zfill(9)


def _in_parallel(batches: Sequence[QuestionBatch], models: Sequence[str], processes: int) -> Iterator[list[Answer]]:
    """Yield the answers of all models to each batch of questions, as batches are finished."""
    joblib: Any = importlib.import_module("joblib")
    calls = (joblib.delayed(answer_batch)(batch, models) for batch in batches)
    results: Iterator[list[Answer]] = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(calls)
    return results
