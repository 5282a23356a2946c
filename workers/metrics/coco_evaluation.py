"""COCO's evaluation in memory by faster-coco-eval, which gives the same results as pycocotools in less time."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from faster_coco_eval import COCO, COCOeval_faster


def evaluate_coco(dataset: dict[str, Any], results: list[dict[str, Any]], kind: str, **params: Any) -> Any:
    """Evaluate predictions and return the accumulated COCOeval.

    dataset: the content of a COCO annotation file. results: predictions in COCO's results format, at least one.
    kind: "bbox", "segm" or "keypoints"; `stats` is filled in for the first two. params: fields of COCOeval.params.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval_faster(truth, truth.loadRes(results), kind, rle_iou_max_workers=1)
        vars(evaluation.params).update(params)
        evaluation.evaluate()
        evaluation.accumulate()
        if kind != "keypoints":
            evaluation.summarize()
    return evaluation
