"""Instance segmentation by any mmdet detector with masks; by default Mask R-CNN (He et al., ICCV 2017)."""

from __future__ import annotations

from workers.data.base import Vocabulary
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.tasks.base import register
from workers.tasks.det import DetectorTask


@register
class InstanceSegmentation(DetectorTask):
    """Instance segmentation: a mask and a class per object."""

    name, metric = "iseg", "mask_ap"
    config = "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
    masks = True

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric: COCO's mask AP and box AP."""
        return AveragePrecision(vocabulary, ("mask", "box"))
