"""Panoptic segmentation by Panoptic FPN (Kirillov et al., CVPR 2019), which answers det, iseg and seg as well."""

from __future__ import annotations

from torch import nn

from workers.data.base import Vocabulary
from workers.detectors.head import DetectorHead, DetectorPart
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.metrics.panoptic_quality import PanopticOverlap, PanopticQuality
from workers.tasks.base import register
from workers.tasks.det import DetectorTask


@register
class PanopticSegmentation(DetectorTask):
    """A class a pixel, and which object it belongs to."""

    name, metric = "pano", "pq"
    also = ("det", "iseg", "seg")
    config = "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py"
    masks = maps = True

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Panoptic quality."""
        return PanopticQuality(vocabulary)

    def companion_metrics(self, task: str, vocabulary: Vocabulary) -> Metric:
        """The other three tasks' metrics, of the same outputs."""
        match task:
            case "det":
                return AveragePrecision(vocabulary, ("box",))
            case "iseg":
                return AveragePrecision(vocabulary, ("mask", "box"))
            case "seg":
                return PanopticOverlap(vocabulary)
        return super().companion_metrics(task, vocabulary)

    def part(self, head: nn.Module, task: str) -> nn.Module:
        """Neck and the heads of one task."""
        assert isinstance(head, DetectorHead)
        match task:
            case "det" | "iseg":
                return DetectorPart(head, ("rpn_head", "roi_head"), masks=task == "iseg")
            case "seg":
                return DetectorPart(head, ("semantic_head",), masks=False)
        return super().part(head, task)
