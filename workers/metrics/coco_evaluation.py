"""COCO's evaluation of what is in memory, by faster-coco-eval: pycocotools' figures, sooner."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from faster_coco_eval import COCO, COCOeval_faster


def judge(dataset: dict[str, Any], results: list[dict[str, Any]], kind: str, **params: Any) -> Any:
    """An accumulated evaluation; with its `stats` for boxes ("bbox") and masks ("segm"), whose areas are COCO's own.

    dataset: what a COCO annotation file holds. results: at least one. params: fields of COCOeval.params to set.
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
