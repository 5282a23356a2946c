"""Object detection by any mmdet detector; by default RetinaNet (Lin et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.data.base import DataSet, Sample, Vocabulary
from workers.detectors.config import detector_config
from workers.detectors.head import DetectorHead
from workers.errors import DataError, RecipeError
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.targets.example import Example
from workers.targets.frame import Size
from workers.targets.objects import (
    Detections,
    GroundTruth,
    ObjectTargets,
    annotate_objects,
    annotate_truth,
    collate_objects,
    decode_mask,
    settle_objects,
)
from workers.targets.view import View
from workers.tasks.base import Task, register
from workers.tasks.drawing import MIN_DRAWN_SCORE, enlarge, with_boxes, with_map, with_masks

_STRIDES = (4, 8, 16, 32)  # of the levels that the anchors and pooling of the default configurations are made for


class DetectorTask(Task):
    """The base class of tasks on mmdet detectors.

    config: the default configuration. masks, maps: whether targets have instance masks, and semantic and panoptic maps.
    """

    config: str  # path below mmdet's folder of configurations
    masks = False
    maps = False

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Build the detector; for `settings` see workers/detectors/config.py."""
        score = settings.get("panoptic_score", 0.6)
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise RecipeError(f"head panoptic_score {score}: must be from 0 to 1")
        config = detector_config(channels, vocabulary, settings, self.config)
        if "config" not in settings and tuple(strides) != _STRIDES:
            raise RecipeError(
                f"task {self.name}: its head needs levels of strides {_STRIDES}, not {tuple(strides)}: use a backbone "
                "with these, or set head.config to an mmdet configuration for others"
            )
        return DetectorHead(config, float(score))

    def check_data(self, data: DataSet) -> None:
        """Require a class of things, then try what a worker will need. Raises DataError."""
        if not data.vocabulary(self.name).things:
            raise DataError(
                f"{data.spec} has no class of things (isthing: 1): task {self.name} needs one; use --task seg"
            )
        super().check_data(data)

    def annotate(self, sample: Sample, size: Size, *, training: bool) -> Example:
        """Return boxes, and masks and maps if the task has them; for evaluation those of the stored image."""
        if training:
            return annotate_objects(sample, size, masks=self.masks, maps=self.maps)
        return annotate_truth(sample, masks=self.masks, maps=self.maps)

    def settle(self, example: Example, view: View) -> Example:
        """Return the example with clipped boxes, without objects outside the view."""
        return settle_objects(example, view) if "boxes" in example else example

    def collate(self, examples: Sequence[Example], views: Sequence[View]) -> ObjectTargets:
        """Join examples into a batch."""
        return collate_objects(examples, views)

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: ObjectTargets) -> Tensor:
        """Return the sum of the detector's losses."""
        assert isinstance(head, DetectorHead)
        return head.loss(pyramid, target)

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: ObjectTargets) -> list[Detections]:
        """Return the detections in each image."""
        assert isinstance(head, DetectorHead)
        return head.predict(pyramid, target)

    def draw_predictions(
        self, images: Sequence[Tensor], output: list[Detections], target: ObjectTargets, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Draw boxes, and masks and maps if there are any, at the size of the stored image or larger."""
        pairs = []
        for image, detections, truth in zip(images, output, target.truths, strict=True):
            large, factor = enlarge(image, truth.size)
            confident = _confident(detections)
            pairs.append((_draw(large, factor, truth, vocabulary), _draw(large, factor, confident, vocabulary)))
        return pairs


def _confident(detections: Detections) -> Detections:
    """Return the detections with a score that is high enough to draw them."""
    chosen = detections.scores >= MIN_DRAWN_SCORE
    return Detections(
        detections.boxes[chosen],
        detections.scores[chosen],
        detections.labels[chosen],
        tuple(rle for rle, keep in zip(detections.rles, chosen, strict=False) if keep),
        detections.panoptic,
    )


def _draw(image: Tensor, factor: int, objects: GroundTruth | Detections, vocabulary: Vocabulary) -> Tensor:
    """Draw the panoptic map's classes, or else masks if there are any, and boxes."""
    labels = [int(label) for label in objects.labels]
    if objects.panoptic is not None:
        image = with_map(image, torch.from_numpy(objects.panoptic // 1000))
    else:
        masks = [decode_mask(rle).repeat(factor, 0).repeat(factor, 1) for rle in objects.rles]
        image = with_masks(image, masks, labels)
    return with_boxes(image, objects.boxes * factor, labels, vocabulary.classes)


@register
class Detection(DetectorTask):
    """Object detection: a box and a class per object."""

    name, metric = "det", "box_ap"
    config = "retinanet/retinanet_r50_fpn_1x_coco.py"

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric: COCO's box AP."""
        return AveragePrecision(vocabulary, ("box",))
