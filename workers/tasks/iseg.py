"""Instance segmentation; Mask R-CNN (He et al., ICCV 2017) unless the recipe names another mmdet detector."""

from __future__ import annotations

from workers.data.base import Vocabulary
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.tasks.base import register
from workers.tasks.det import DetectorTask


@register
class InstanceSegmentation(DetectorTask):
    """A mask and a class an object."""

    name, metric = "iseg", "mask_ap"
    config = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
    masks = True

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """COCO mask AP, and box AP beside it."""
        return AveragePrecision(vocabulary, ("mask", "box"))
