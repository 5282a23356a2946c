"""The evaluation protocol: which labels a model may know before it predicts the others of a label set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from predictor.evaluation.metrics import Scores, score_prediction
from predictor.label_set import Floats, LabelSet
from predictor.models import Model, NothingKnownError, Prediction, get_model

Split = Literal["architecture", "task", "space", "family"]
SPLITS: tuple[Split, ...] = ("architecture", "task", "space", "family")
DEFAULT_SPLITS: tuple[Split, ...] = (
    "architecture",
    "task",
    "space",
)  # for every set; only published ones have families
ALL_OTHERS: Final = "others"  # leave-one-out, in place of a number of labels
SupportSize = int | Literal["others"]
MIN_QUERY = 20  # minimum number of architectures to predict; metrics of fewer mean little
_MIN_LEAVE_ONE_OUT = 10  # minimum size of a label set for leave-one-out
_MAX_QUERY = 1500


@dataclass(frozen=True, slots=True)
class Question:
    """One cell of a report for one seed: predict the labels of `query`, with the labels of `support` known.

    split: which source tasks are known. "architecture": all other sets, without the query's networks. "task":
    sets of other tasks or data, which may contain the architectures of the query. "space": sets of other spaces.
    "family": all other sets, without the query's family; `support` has the other families of the set. leave_one_out:
    `support` and `query` are the same, and each label is predicted from all others.
    """

    split: Split
    seed: int
    support: LabelSet
    query: LabelSet
    sources: tuple[LabelSet, ...]
    leave_one_out: bool = False

    @property
    def support_size(self) -> SupportSize:
        """Number of known labels of the set."""
        if self.leave_one_out or self.split == "family":
            return ALL_OTHERS
        return len(self.support)


@dataclass(frozen=True, slots=True)
class Answer:
    """The predictions of one model for one question, and their scores.

    target: name of the label set. query_size: number of predicted labels. prediction, measured: (query_size,).
    families: (query_size,) of the split by family; None of others. are_costs: see `LabelSet.lower_is_better`.
    """

    target: str
    split: Split
    support_size: SupportSize
    seed: int
    model: str
    query_size: int
    scores: Scores
    prediction: Prediction
    measured: Floats
    families: NDArray[np.str_] | None = None
    are_costs: bool = False


def make_questions(
    sets: Sequence[LabelSet],
    targets: Sequence[str],
    splits: Sequence[Split],
    support_sizes: Sequence[SupportSize],
    seeds: int,
) -> Iterator[Question]:
    """Yield all questions that the sets allow. A question with a query smaller than MIN_QUERY is skipped.

    targets: names of the sets to predict. support_sizes: numbers of known labels, or ALL_OTHERS for leave-one-out,
    which has one seed and needs a set of ten architectures or more. The split by family has one question per family,
    whatever the sizes. seeds: number of random choices of known labels.
    """
    counts = [size for size in support_sizes if isinstance(size, int)]
    for target in sets:
        if target.name not in targets:
            continue
        for split in splits:
            if split == "family":
                yield from _family_questions(sets, target)
                continue
            if ALL_OTHERS in support_sizes and len(target) >= _MIN_LEAVE_ONE_OUT:
                yield Question(split, 0, target, target, _sources(sets, target, target, split), leave_one_out=True)
            for seed in range(seeds if counts else 0):
                order = np.random.default_rng(seed).permutation(len(target))
                # The query is the same for every number of known labels.
                query = _without_graphs_of(target.take(order[max(counts) :]), target.take(order[: max(counts)]))
                query = query.take(np.arange(min(len(query), _MAX_QUERY)))
                if len(query) < MIN_QUERY:
                    continue
                sources = _sources(sets, target, query, split)
                for count in counts:
                    yield Question(split, seed, target.take(order[:count]), query, sources)


def _sources(sets: Sequence[LabelSet], target: LabelSet, query: LabelSet, split: Split) -> tuple[LabelSet, ...]:
    others = [s for s in sets if s.name != target.name]
    if split == "architecture":
        others = [_without_graphs_of(s.without(query.architectures), query) for s in others]
    elif split == "task":
        others = [s for s in others if (s.task, s.data) != (target.task, target.data)]
    else:
        others = [s for s in others if s.space != target.space]
    return tuple(s for s in others if len(s))  # an empty set would be other sources than none


def _without_graphs_of(labels: LabelSet, known: LabelSet) -> LabelSet:
    """Return the labels of networks whose graphs differ from all known ones.

    Several architectures may compute the same, such as cells of NAS-Bench-201: one that is known would answer another.
    """
    return labels.take(~np.isin(labels.graphs, known.graphs)) if labels.pool is known.pool else labels


def _family_questions(sets: Sequence[LabelSet], target: LabelSet) -> Iterator[Question]:
    """Yield a question for each family of a set that has several. No source has networks of that family."""
    families = target.families
    if families is None or len(target) < MIN_QUERY:
        return
    names = np.unique(families)
    for name in names if len(names) > 1 else ():
        own = families == name
        sources = (_without_family(s, target.space, name) for s in sets if s.name != target.name)
        yield Question("family", 0, target.take(~own), target.take(own), tuple(s for s in sources if len(s)))


def _without_family(labels: LabelSet, space: str, family: str) -> LabelSet:
    return labels if labels.families is None or labels.space != space else labels.take(labels.families != family)


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """Questions with the same source tasks, so that a model is trained once for all of them."""

    sources: tuple[LabelSet, ...]
    questions: tuple[Question, ...]


def batch_questions(questions: Iterable[Question]) -> list[QuestionBatch]:
    """Group questions by their source tasks, in the order of each batch's first question."""
    groups: dict[tuple[LabelSet, ...], list[Question]] = {}
    for question in questions:
        groups.setdefault(question.sources, []).append(question)
    return [QuestionBatch(sources, tuple(group)) for sources, group in groups.items()]


def answer_batch(batch: QuestionBatch, model_names: Sequence[str]) -> list[Answer]:
    """Train each model once, with the seed of the first question, then adapt it to each question and score it.

    Models that would be fitted to the same share one training. Questions of several splits that know and ask the same
    are answered once. The answer to a question is missing if the model has no labels to predict from.
    """
    fitted, answers = list[Model](), list[Answer]()
    for name in model_names:
        model = get_model(name)(batch.questions[0].seed)
        if not any(model.take_fit(other) for other in fitted):
            model.fit(batch.sources)
        fitted.append(model)
        answers += _answers(batch, name, model)
    return answers


def _answers(batch: QuestionBatch, model_name: str, model: Model) -> list[Answer]:
    answers, predictions = list[Answer](), dict[tuple[LabelSet, LabelSet], Prediction]()
    for question in batch.questions:
        query, asked = question.query, (question.support, question.query)
        try:
            if asked not in predictions:
                predict = _predict_leave_one_out if question.leave_one_out else _predict_query
                predictions[asked] = predict(model, question)
        except NothingKnownError:
            continue
        prediction = predictions[asked]
        cell = (query.name, question.split, question.support_size, question.seed, model_name, len(query))
        scores = score_prediction(prediction, query.values, query.lower_is_better)
        families = query.families if question.split == "family" else None
        answers.append(Answer(*cell, scores, prediction, query.values, families, query.lower_is_better))
    return answers


def _predict_query(model: Model, question: Question) -> Prediction:
    model.adapt(question.support)
    return model.predict(question.query)


def _predict_leave_one_out(model: Model, question: Question) -> Prediction:
    """Predict each label of the support set from all others."""
    labels = question.support
    rows = np.arange(len(labels))
    predictions = list[Prediction]()
    for row in rows:
        model.adapt(labels.take(rows != row))
        predictions.append(model.predict(labels.take(rows == row)))
    return Prediction(
        np.concatenate([prediction.mean for prediction in predictions]),
        np.concatenate([prediction.deviation for prediction in predictions]),
    )
