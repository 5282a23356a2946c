"""Object detection by any mmdet detector; RetinaNet unless the recipe names another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.data.base import Sample, Vocabulary
from workers.detectors.config import detector_config
from workers.detectors.head import DetectorHead
from workers.errors import RecipeError
from workers.metrics.average_precision import AveragePrecision
from workers.metrics.base import Metric
from workers.targets.crop import CropWindow
from workers.targets.objects import Found, Scene, Scenes, Truth, decode, scene_of
from workers.tasks.base import Task, register
from workers.tasks.drawing import CONFIDENT, enlarged, with_boxes, with_map, with_masks


class DetectorTask(Task):
    """What tasks on mmdet detectors share. masks, maps: whether the target holds instance masks and label maps."""

    config: str  # below mmdet's configurations
    masks = False
    maps = False

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """The detector; for `settings` see workers/detectors/config.py."""
        score = settings.get("panoptic_score", 0.6)
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise RecipeError(f"head panoptic_score {score}: must be from 0 to 1")
        return DetectorHead(detector_config(channels, vocabulary, settings, self.config), float(score))

    def target(self, sample: Sample, size: tuple[int, int]) -> Scene:
        """Boxes, and masks and maps where the task has them."""
        return scene_of(sample, size, masks=self.masks, maps=self.maps)

    def collate(self, targets: Sequence[Scene]) -> Scenes:
        """A batch."""
        return Scenes(tuple(targets))

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Scenes) -> Tensor:
        """Sum of the detector's losses."""
        assert isinstance(head, DetectorHead)
        return head.loss(pyramid, target)

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: Scenes) -> list[Found]:
        """What is found in each image."""
        assert isinstance(head, DetectorHead)
        return head.predict(pyramid, target)

    def flip(self, target: Scenes) -> Scenes:
        """Mirrored boxes, masks and maps."""
        return target.flip()

    def zoom(self, target: Scene, window: CropWindow) -> Scene:
        """Boxes, masks and maps move."""
        return target.zoom(window)

    def pictures(
        self, images: Tensor, output: list[Found], target: Scenes, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Boxes, masks and maps, where there are some, in the pixels of the image as stored."""
        pairs = []
        for image, found, scene in zip(images, output, target.scenes, strict=True):
            truth, sure = scene.truth, found.scores >= CONFIDENT
            said = Found(
                found.boxes[sure],
                found.scores[sure],
                found.labels[sure],
                tuple(rle for rle, keep in zip(found.rles, sure, strict=False) if keep),
                found.panoptic,
            )
            large, factor = enlarged(image, truth.size)
            pairs.append((_drawn(large, factor, truth, vocabulary), _drawn(large, factor, said, vocabulary)))
        return pairs


def _drawn(image: Tensor, factor: int, scene: Truth | Found, vocabulary: Vocabulary) -> Tensor:
    """The image with a map of classes, or else with masks, and with boxes."""
    labels = [int(label) for label in scene.labels]
    if scene.panoptic is not None:
        image = with_map(image, torch.from_numpy(scene.panoptic // 1000))
    else:
        masks = [decode(rle).repeat(factor, 0).repeat(factor, 1) for rle in scene.rles]
        image = with_masks(image, masks, labels)
    return with_boxes(image, scene.boxes * factor, labels, vocabulary.classes)


@register
class Detection(DetectorTask):
    """A box and a class an object."""

    name, metric = "det", "box_ap"
    config = "retinanet/retinanet_r50_fpn_1x_coco.py"

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """COCO box AP."""
        return AveragePrecision(vocabulary, ("box",))
