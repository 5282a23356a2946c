"""Calibrate cheap labels: estimate full labels from them and the graphs, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.label_set import Floats
from predictor.models.base import Prediction
from predictor.models.experts import SupportSettings
from predictor.models.support_regression import SourceInputs, SupportRegression

MIN_AUDITED = 8  # networks with both labels; fewer say little about the errors

_SETTINGS = SupportSettings.model_validate({"slope": 0.8})  # cheap labels of a task say more than those of other tasks
_CHEAP_VARIANCE = 0.1  # of cheap labels as scores of a source task
_GROUPS = 8  # in which audited networks are left out: each takes a fit of a second


@dataclass(frozen=True, slots=True, eq=False)
class CheapLabels:
    """Cheap labels of n networks. values: (n,), smoothed. table: (n, columns), see `LabelSet.table`."""

    values: Floats
    table: Floats


def estimate_full_labels(cheap: CheapLabels, audited: Sequence[int], truth: Sequence[float]) -> Prediction:
    """Estimate the full labels of all networks, from the audited ones.

    The estimate is the mean of two: of a line from cheap to full labels, and of a regression that also sees the graphs.
    Deviations are those of measured labels, whose noise they contain.

    audited: indices of at least `MIN_AUDITED` - 1 networks. truth: their full labels.
    """
    known, values = np.array(audited, np.int64), np.asarray(truth, np.float64)
    line, regression = _line(cheap.values, known, values), _regression(cheap, known, values)
    # Their errors are much the same, so that the deviation of the mean is hardly smaller than theirs.
    return Prediction((line.mean + regression.mean) / 2, (line.deviation + regression.deviation) / 2)


def _line(cheap: Floats, known: NDArray[np.int64], truth: Floats) -> Prediction:
    """Estimate by least squares. The deviation is that of the Student distribution of a new label (normal errors)."""
    centre, spread = cheap[known].mean(), float(((cheap[known] - cheap[known].mean()) ** 2).sum())
    slope = float((cheap[known] - centre) @ truth) / spread if spread else 0.0
    mean = truth.mean() + slope * (cheap - centre)
    freedom = len(truth) - 2
    variance = float(((truth - mean[known]) ** 2).sum()) / freedom
    further = (cheap - centre) ** 2 / spread if spread else np.zeros_like(cheap)
    return Prediction(mean, np.sqrt(variance * freedom / (freedom - 2) * (1 + 1 / len(truth) + further)))


def _regression(cheap: CheapLabels, known: NDArray[np.int64], truth: Floats) -> Prediction:
    """Estimate by the regression of the model `default`, with the cheap labels as the only source task."""
    columns = np.column_stack([cheap.values, cheap.values])  # the scores of one source task, and their mean
    sources = SourceInputs(columns[known], np.array([_CHEAP_VARIANCE]), _CHEAP_VARIANCE)
    return SupportRegression(cheap.table[known], sources, truth, 0, _SETTINGS)(cheap.table, columns)


def held_out_estimates(
    cheap: CheapLabels,
    audited: Sequence[int],
    truth: Sequence[float],
    observer: Callable[[int, int], None] = lambda done, total: None,
) -> Prediction:
    """Estimate the full labels of the audited networks, each without its own.

    They are left out in eight groups. See `estimate_full_labels`.

    observer: gets how many groups are done, and of how many.
    """
    known, values = np.array(audited, np.int64), np.asarray(truth, np.float64)
    of_audited = CheapLabels(cheap.values[known], cheap.table[known])
    mean, deviation = np.empty(len(known)), np.empty(len(known))
    groups: NDArray[np.int64] = np.arange(len(known)) % _GROUPS
    for group in range(count := int(groups.max()) + 1):
        left_out = groups == group
        found = estimate_full_labels(of_audited, np.flatnonzero(~left_out).tolist(), values[~left_out].tolist())
        mean[left_out], deviation[left_out] = found.mean[left_out], found.deviation[left_out]
        observer(group + 1, count)
    return Prediction(mean, deviation)
