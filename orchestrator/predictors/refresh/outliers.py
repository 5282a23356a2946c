"""Detect new labels that are far from the champion's predictions, and clip them so that noise does little harm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.label_set import Floats
from predictor.models.base import Prediction

_OUTLIER_SD = 4.0  # a label farther from the prediction is an outlier
_CLIP_SD = 3.0  # an outlier is clipped to this distance
_MIN_NEW_LABELS = 8  # with fewer new labels of a set, none of them is an outlier
_SD_PER_MAD = 1.4826  # standard deviation of a normal distribution, in median absolute deviations


@dataclass(frozen=True, slots=True)
class ClippedLabels:
    """values: (n,) to train on. outliers: (n,) which of them were clipped."""

    values: Floats
    outliers: NDArray[np.bool_]


def clip_outliers(predicted: Prediction, values: Floats, new: NDArray[np.bool_]) -> ClippedLabels:
    """Return labels of one set, (n,), with outliers clipped towards the champion's predictions for them.

    new: (n,) which labels are new; the others were outliers before and are checked again. Distances are in the
    champion's predicted standard deviations, multiplied by the robust standard deviation of the new labels' distances
    if that exceeds 1: if most labels are far off, the champion is wrong and not the labels. A clipped label still pulls
    in its direction, so that a correct label is reached over several generations.
    """
    if not np.isfinite(predicted.deviation).all():
        return ClippedLabels(values, np.zeros(len(values), np.bool_))
    distances, enough = np.abs(values - predicted.mean) / predicted.deviation, new.sum() >= _MIN_NEW_LABELS
    unit = max(1.0, _SD_PER_MAD * float(np.median(distances[new]))) if enough else 1.0
    outliers = (distances > _OUTLIER_SD * unit) & (enough | ~new)
    limit = _CLIP_SD * unit * predicted.deviation
    clipped = np.clip(values, predicted.mean - limit, predicted.mean + limit)
    return ClippedLabels(np.where(outliers, clipped, values), outliers)
