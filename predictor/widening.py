"""Estimate how errors of a model grow with the distance from its training graphs, by leaving distant networks out.

In each task and data set, the networks that are last along the first principal axis of the statistics are left out; the
axis points to more FLOPs, so these are larger than, or of other families than, the others. The model is trained on a
sample of the other labels and predicts them. See `reference_graphs` for distances.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats, LabelSet
from predictor.models import Model
from predictor.models.base import HALF_WIDTH_90, MIN_SUPPORT
from predictor.reference_graphs import ReferenceGraphs, TaskData, Widening, reference_graphs

_MAX_LABELS = 1200  # that the second model is trained on, so that it takes seconds
_MIN_SET_LABELS = 30  # of each set that are used even so
_LEFT_OUT = 1 / 3  # of the networks of a task and data set
_MIN_TESTED = 5  # distant networks of a task and data set; with fewer, it has no say
_COVERAGE = 0.9
_EXPONENTS = np.arange(0.0, 3.01, 0.05)
_PROPORTIONAL = Widening(exponent=1.0, tested=0)

_Tested = tuple[Floats, Floats]  # (n,) distances, and absolute errors in predicted deviations


def fit_widening(new_model: Callable[[], Model], sets: Sequence[LabelSet], seed: int = 0) -> Widening:
    """Return the smallest widening with which 90 % intervals hold 90 % of distant networks, averaged over data sets.

    new_model: returns an untrained model. sets: all training labels. The same in every process of a group. If no task
    has enough distant networks, the deviation grows in proportion to the distance.
    """
    by_key: dict[TaskData, list[LabelSet]] = defaultdict(list)
    for labels in _sampled(sets, seed):
        by_key[labels.task, labels.data].append(labels)
    kept, left_out = list[LabelSet](), list[LabelSet]()
    for of_key in by_key.values():
        last = _last_along_axis(of_key)
        kept += [labels.take(~mask) for labels, mask in zip(of_key, last, strict=True)]
        left_out += [labels.take(mask) for labels, mask in zip(of_key, last, strict=True)]
    kept, references = [labels for labels in kept if len(labels)], reference_graphs(kept)
    if not any((labels.task, labels.data) in references for labels in left_out if len(labels)):
        return _PROPORTIONAL
    model = new_model()
    model.fit(kept)
    tested = [result for result in _errors(model, left_out, references) if len(result[0]) >= _MIN_TESTED]
    return _smallest(tested) if tested else _PROPORTIONAL


def _sampled(sets: Sequence[LabelSet], seed: int) -> list[LabelSet]:
    """Return some labels of each set, and none of sets that are too small to train on."""
    usable = [labels for labels in sets if len(labels) >= MIN_SUPPORT]
    most = max(_MIN_SET_LABELS, _MAX_LABELS // max(1, len(usable)))
    rng = np.random.default_rng(seed)
    return [labels.take(np.sort(rng.permutation(len(labels))[:most])) for labels in usable]


def _last_along_axis(sets: Sequence[LabelSet]) -> list[np.ndarray]:
    """Return, for each set of one task and data set, which networks are left out."""
    statistics = np.concatenate([labels.statistics for labels in sets])
    deviation = statistics.std(axis=0)
    scaled = (statistics - statistics.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    axis = np.linalg.svd(scaled, full_matrices=False)[2][0]
    position = scaled @ axis * (1 if axis[STATISTICS.index("log_flops")] >= 0 else -1)
    last = position > np.quantile(position, 1 - _LEFT_OUT)
    return np.split(last, np.cumsum([len(labels) for labels in sets])[:-1])


def _errors(
    model: Model, left_out: Sequence[LabelSet], references: Mapping[TaskData, ReferenceGraphs]
) -> list[_Tested]:
    """Return the errors of distant networks, by task and data set."""
    by_key: dict[TaskData, list[_Tested]] = defaultdict(list)
    for labels in left_out:
        reference = references.get((labels.task, labels.data))
        if reference is None or not len(labels):
            continue
        query = replace(labels, recipes=())  # the set itself may be left out as a whole
        model.adapt(query.take(np.arange(0)))
        mean, deviation = model.predict(query)
        distances = reference.distances(labels.statistics)
        used = np.isfinite(deviation) & (deviation > 0) & (distances > 1)
        by_key[labels.task, labels.data].append((distances[used], np.abs(mean - labels.values)[used] / deviation[used]))
    return [(np.concatenate(d), np.concatenate(e)) for d, e in (zip(*parts, strict=True) for parts in by_key.values())]


def _smallest(tested: Sequence[_Tested]) -> Widening:
    """Return the widening with the smallest exponent that covers enough, or the largest exponent."""
    count = sum(len(distances) for distances, _ in tested)
    for exponent in _EXPONENTS:
        widening = Widening(round(float(exponent), 2), count)
        covered = [(e <= HALF_WIDTH_90 * widening.factors(d)).mean() for d, e in tested]
        if np.mean(covered) >= _COVERAGE:
            break
    return widening
