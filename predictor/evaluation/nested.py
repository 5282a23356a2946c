"""Nested selection of models: a space's answers come from the model that was best on all other spaces.

Choosing a variant or a constant on the sets whose scores are then reported makes these scores too good. Here each space
is left out of the choice that is reported for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from predictor.evaluation.protocol import Answer, Split, SupportSize

NESTED = "nested"  # the model name of selected answers


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that was chosen for a space, by its mean Spearman correlation `score` on the sets of other spaces."""

    space: str
    split: Split
    model: str
    score: float


def select_nested(
    answers: Sequence[Answer], candidates: Sequence[str], spaces: Mapping[str, str]
) -> tuple[list[Answer], list[Choice]]:
    """Return, for each space and split, the answers of the candidate that was best elsewhere, and the choices.

    candidates: names of models. spaces: by target, the space that is left out together with it. Every space counts
    equally, as do the numbers of known labels. A space is skipped if no other one has answers of all candidates.
    """
    scores = _mean_scores([answer for answer in answers if answer.model in candidates], spaces)
    chosen, choices = list[Answer](), list[Choice]()
    for space, split in dict.fromkeys((spaces[answer.target], answer.split) for answer in answers):
        others = {
            model: [value for (other, s, m), value in scores.items() if m == model and s == split and other != space]
            for model in candidates
        }
        if not all(others.values()) or len({len(values) for values in others.values()}) > 1:
            continue
        means = {model: float(np.mean(values)) for model, values in others.items()}
        best = max(candidates, key=lambda model: means[model])  # the first of equal ones
        choices.append(Choice(space, split, best, means[best]))
        chosen += [
            replace(answer, model=NESTED)
            for answer in answers
            if answer.model == best and answer.split == split and spaces[answer.target] == space
        ]
    return chosen, choices


def _mean_scores(answers: Sequence[Answer], spaces: Mapping[str, str]) -> dict[tuple[str, Split, str], float]:
    """Return the mean correlation by space, split and model: over seeds, then targets, then numbers of labels."""
    seeds = defaultdict[tuple[str, Split, str, SupportSize, str], list[float]](list)
    for answer in answers:
        space = spaces[answer.target]
        seeds[space, answer.split, answer.model, answer.support_size, answer.target].append(answer.scores.spearman)
    targets = defaultdict[tuple[str, Split, str, SupportSize], list[float]](list)
    for (space, split, model, size, _), values in seeds.items():
        targets[space, split, model, size].append(float(np.mean(values)))
    sizes = defaultdict[tuple[str, Split, str], list[float]](list)
    for (space, split, model, _), values in targets.items():
        sizes[space, split, model].append(float(np.mean(values)))
    return {key: float(np.mean(values)) for key, values in sizes.items()}
