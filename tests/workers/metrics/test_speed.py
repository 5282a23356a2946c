"""The seconds that metrics take for predictions on 5,000 images, as many as COCO's val. Run with -m slow -s."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from workers.data import Vocabulary
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.metrics.panoptic_quality import PanopticQuality
from workers.targets.objects import Detections, GroundTruth, ObjectTarget, ObjectTargets, encode_mask

HEIGHT, WIDTH, THINGS, STUFF, TRUE, FOUND = 480, 640, 80, 53, 7, 30
VOCABULARY = Vocabulary(tuple(f"class {i}" for i in range(THINGS + STUFF)), THINGS)


def scene(rng: np.random.Generator, *, masks: bool, maps: bool) -> tuple[ObjectTarget, Detections]:
    """Return annotations and predictions, some of which match, of one image."""
    corners = rng.uniform(0, [WIDTH - 60, HEIGHT - 60], (TRUE, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 60, (TRUE, 2))], 1)
    labels = rng.integers(0, THINGS, TRUE)
    which = rng.integers(0, TRUE, FOUND)
    found = boxes[which] + rng.normal(0, 6, (FOUND, 4))
    classes = np.where(rng.random(FOUND) < 0.7, labels[which], rng.integers(0, THINGS, FOUND))
    order = np.argsort(-rng.random(FOUND))
    stored = (HEIGHT, WIDTH)
    true_masks, found_masks = ([_ellipse(box) for box in some] if masks else [] for some in (boxes, found[order]))
    truth_map = _map(boxes, labels, rng) if maps else None
    truth = GroundTruth(
        stored,
        boxes,
        labels,
        np.zeros(TRUE, dtype=np.bool_),
        np.prod(boxes[:, 2:] - boxes[:, :2], 1),
        tuple(map(encode_mask, true_masks)),
        panoptic=truth_map,
    )
    predicted = Detections(
        found[order],
        np.sort(rng.random(FOUND))[::-1],
        classes[order],
        tuple(map(encode_mask, found_masks)),
        _map(found[:12], classes[:12], rng) if maps else None,
    )
    return ObjectTarget(stored, stored, truth=truth), predicted


def _ellipse(box: np.ndarray) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    x0, y0, x1, y1 = np.clip(box, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(int)
    x1, y1 = max(x0 + 1, x1), max(y0 + 1, y1)
    rows, columns = np.mgrid[y0:y1, x0:x1]
    mask[y0:y1, x0:x1] = ((rows - (y0 + y1) / 2) / max(1, y1 - y0)) ** 2 + (
        (columns - (x0 + x1) / 2) / max(1, x1 - x0)
    ) ** 2 < 0.25
    return mask


def _map(boxes: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ids = np.full((HEIGHT, WIDTH), (THINGS + rng.integers(STUFF)) * 1000, dtype=np.int32)
    ids[int(rng.integers(100, 300)) :] = (THINGS + rng.integers(STUFF)) * 1000
    ids[:, : int(rng.integers(0, 20))] = -1
    for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        ids[_ellipse(box)] = label * 1000 + number + 1
    return ids


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("build", "limit", "masks", "maps"),
    [
        (lambda: AveragePrecision(VOCABULARY, ("box",)), 20, False, False),
        (lambda: AveragePrecision(VOCABULARY, ("mask",)), 60, True, False),
        (lambda: PanopticQuality(VOCABULARY), 30, False, True),
    ],
    ids=["box AP", "mask AP", "PQ"],
)
def test_five_thousand_images(build: Callable[[], Metric], limit: float, masks: bool, maps: bool) -> None:
    rng, metric, seconds = np.random.default_rng(0), build(), 0.0
    for _ in range(5000):
        target, predicted = scene(rng, masks=masks, maps=maps)
        start = time.perf_counter()
        metric.update([predicted], ObjectTargets((target,)))
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    values = metric.compute()
    seconds += time.perf_counter() - start
    print(f"{seconds:.1f} s for 5,000 images: {values}")
    assert seconds <= limit
