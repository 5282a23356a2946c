"""What a model may know of a label set before it is asked about the rest of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from predictor.evaluation.metrics import Scores, scores
from predictor.label_set import Floats, LabelSet
from predictor.models import Model, NothingKnownError, Prediction, get_model

Split = Literal["architecture", "task", "space"]
SPLITS: tuple[Split, ...] = ("architecture", "task", "space")
OTHERS: Final = "others"  # in the place of a number of labels: all but the one asked about, each in turn
Labels = int | Literal["others"]
FEWEST_ASKED = 20  # networks a model is asked about; with fewer, figures say little
_FEWEST_IN_TURN = 10
_MOST_ASKED = 1500


@dataclass(frozen=True, slots=True)
class Question:
    """One cell of a report for one seed: `support` labels of a set are known, and `asked` are not.

    split: what else is known. "architecture": all other sets, without the networks asked about. "task": sets of other
    tasks or data, where the networks asked about may be known. "space": sets of other spaces. in_turn: `support` and
    `asked` are the same, and each network is asked about with the labels of all others known.
    """

    split: Split
    seed: int
    support: LabelSet
    asked: LabelSet
    sources: tuple[LabelSet, ...]
    in_turn: bool = False

    @property
    def labels(self) -> Labels:
        """How many labels of the set are known."""
        if self.in_turn:
            return OTHERS
        return len(self.support)


@dataclass(frozen=True, slots=True)
class Answer:
    """How one model did on one question. prediction, measured: of the networks asked about."""

    target: str
    split: Split
    labels: Labels
    seed: int
    model: str
    asked: int
    scores: Scores
    prediction: Prediction
    measured: Floats


def questions(
    sets: Sequence[LabelSet], targets: Sequence[str], splits: Sequence[Split], labels: Sequence[Labels], seeds: int
) -> Iterator[Question]:
    """Every question that the sets allow; those left with fewer than FEWEST_ASKED networks are left out.

    labels: numbers of them, and OTHERS, which is asked for one seed, of sets of ten networks or more.
    """
    counts = [count for count in labels if isinstance(count, int)]
    for target in sets:
        if target.name not in targets:
            continue
        for split in splits:
            if OTHERS in labels and len(target) >= _FEWEST_IN_TURN:
                yield Question(split, 0, target, target, _sources(sets, target, target, split), in_turn=True)
            for seed in range(seeds if counts else 0):
                order = np.random.default_rng(seed).permutation(len(target))
                # The same networks are asked about however many labels are known.
                asked = target.take(order[max(counts) :][:_MOST_ASKED])
                if len(asked) < FEWEST_ASKED:
                    continue
                sources = _sources(sets, target, asked, split)
                for count in counts:
                    yield Question(split, seed, target.take(order[:count]), asked, sources)


def _sources(sets: Sequence[LabelSet], target: LabelSet, asked: LabelSet, split: Split) -> tuple[LabelSet, ...]:
    others = [s for s in sets if s.name != target.name]
    if split == "architecture":
        return tuple(s.without(asked.architectures) for s in others)
    if split == "task":
        return tuple(s for s in others if (s.task, s.data) != (target.task, target.data))
    return tuple(s for s in others if s.space != target.space)


@dataclass(frozen=True, slots=True)
class Round:
    """Questions that leave a model the same sets to learn from, so that it learns once for all of them."""

    sources: tuple[LabelSet, ...]
    questions: tuple[Question, ...]


def rounds(asked: Iterable[Question]) -> list[Round]:
    """All questions, in the order of the first of each round."""
    found: dict[tuple[LabelSet, ...], list[Question]] = {}
    for question in asked:
        found.setdefault(question.sources, []).append(question)
    return [Round(sources, tuple(questions)) for sources, questions in found.items()]


def answers(one: Round, model: str) -> list[Answer]:
    """Let a model learn, then adapt it to each question and score what it predicts.

    A question is missing where there is nothing it could have learnt that from. The first question's seed is that of
    the learning.
    """
    learnt = get_model(model)(one.questions[0].seed)
    learnt.fit(one.sources)
    found = []
    for question in one.questions:
        try:
            prediction = _in_turn(learnt, question.support) if question.in_turn else _predicted(learnt, question)
        except NothingKnownError:
            continue
        asked = question.asked
        cell = (asked.name, question.split, question.labels, question.seed, model, len(asked))
        found.append(Answer(*cell, scores(prediction, asked.values), prediction, asked.values))
    return found


def _predicted(model: Model, question: Question) -> Prediction:
    model.adapt(question.support)
    return model.predict(question.asked)


def _in_turn(model: Model, labels: LabelSet) -> Prediction:
    found, all_of_them = list[Prediction](), np.arange(len(labels))
    for number in all_of_them:
        model.adapt(labels.take(all_of_them != number))
        found.append(model.predict(labels.take(all_of_them == number)))
    return Prediction(*(np.concatenate([getattr(one, part) for one in found]) for part in ("mean", "deviation")))
