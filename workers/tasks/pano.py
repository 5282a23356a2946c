"""Panoptic segmentation by Panoptic FPN (Kirillov et al., CVPR 2019). Its companion tasks are det, iseg and seg."""

from __future__ import annotations

from torch import nn

from workers.data.base import Vocabulary
from workers.detectors.head import DetectorHead, DetectorPart
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.metrics.panoptic_quality import PanopticMeanIoU, PanopticQuality
from workers.tasks.base import register
from workers.tasks.det import DetectorTask


@register
class PanopticSegmentation(DetectorTask):
    """Panoptic segmentation: the class of every pixel, and the object it belongs to."""

    name, metric = "pano", "pq"
    companions = ("det", "iseg", "seg")
    config = "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py"
    masks = maps = True

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric: panoptic quality."""
        return PanopticQuality(vocabulary)

    def build_companion_metric(self, task: str, vocabulary: Vocabulary) -> Metric:
        """Create the metric of det, iseg or seg; it takes the outputs of this task."""
        match task:
            case "det":
                return AveragePrecision(vocabulary, ("box",))
            case "iseg":
                return AveragePrecision(vocabulary, ("mask", "box"))
            case "seg":
                return PanopticMeanIoU(vocabulary)
        return super().build_companion_metric(task, vocabulary)

    def companion_head(self, head: nn.Module, task: str) -> nn.Module:
        """Return the neck and the heads that det, iseg or seg needs."""
        assert isinstance(head, DetectorHead)
        match task:
            case "det" | "iseg":
                return DetectorPart(head, ("rpn_head", "roi_head"), masks=task == "iseg")
            case "seg":
                return DetectorPart(head, ("semantic_head",), masks=False)
        return super().companion_head(head, task)
