"""Metrics from counts by class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score

from workers.metrics.class_counts import ClassCounts

CLASSES, VOID = 6, 255


def random_ids(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true ids, of which some are VOID and none is the last class, and predicted ones that often agree."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES - 1, (2, 30, 40), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, CLASSES, truth.shape))
    truth[rng.random(truth.shape) < 0.1] = VOID
    return truth, predicted


@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    truth, predicted = random_ids(seed)
    counts = ClassCounts(CLASSES, ignored=VOID)
    for true, guess in zip(truth, predicted, strict=True):
        counts.update(true, guess)
    flat = truth[truth != VOID], predicted[truth != VOID]
    present = range(CLASSES - 1)
    assert counts.accuracy() == pytest.approx(accuracy_score(*flat))
    iou = jaccard_score(*flat, labels=present, average=None)
    share = confusion_matrix(*flat).sum(1)[:-1] / flat[0].size
    assert counts.iou() == pytest.approx({"miou": iou.mean(), "frequency_weighted_iou": (iou * share).sum()})
    # The last class was only predicted: a recall of 0.
    recalls = recall_score(*flat, labels=range(CLASSES), average=None, zero_division=0)
    assert counts.balanced_accuracy() == pytest.approx(recalls.mean())


def test_no_prediction_is_wrong() -> None:
    counts = ClassCounts(2)
    counts.update(np.array([0, 0, 1]), np.array([0, 2, 1]))
    assert counts.accuracy() == pytest.approx(2 / 3)
    assert counts.iou()["miou"] == pytest.approx((1 / 2 + 1) / 2)


def test_every_class_counts_unless_one_is_ignored() -> None:
    counts = ClassCounts(300)
    counts.update(np.array([255, 7]), np.array([255, 8]))
    assert counts.accuracy() == 0.5
