"""pycocotools over annotations and results that are in memory."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def judge(dataset: dict[str, Any], results: list[dict[str, Any]], kind: str, **params: Any) -> Any:
    """An accumulated COCOeval; with its `stats` for boxes ("bbox") and masks ("segm"), whose areas are COCO's own.

    dataset: what a COCO annotation file holds. results: at least one. params: fields of COCOeval.params to set.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        vars(evaluation.params).update(params)
        evaluation.evaluate()
        evaluation.accumulate()
        if kind != "keypoints":
            evaluation.summarize()
    return evaluation
