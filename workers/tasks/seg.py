"""Semantic segmentation with the semantic FPN head (Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from workers.data.base import VOID, Sample, Vocabulary
from workers.errors import BadDataFailure, RecipeError
from workers.metrics.base import Metric
from workers.metrics.class_counts import ClassCounts
from workers.targets.example import Example
from workers.targets.frame import Size, resize_pixels
from workers.targets.label_maps import LabelMaps
from workers.targets.view import View
from workers.tasks.base import LogitTask, register
from workers.tasks.drawing import enlarge, with_map
from workers.tasks.flip_test import append_flipped, split_flipped
from workers.tasks.semantic_fpn import SemanticFPN


class _MeanIoU(Metric):
    """Mean IoU over all pixels; classes absent from the targets do not count."""

    def __init__(self, classes: int) -> None:
        self._counts = ClassCounts(classes, ignored=VOID)

    def update(self, output: Tensor, target: LabelMaps) -> None:
        for logits, truth in target.to_stored_size(output):
            self._counts.update(truth.numpy(), logits.argmax(1).cpu().numpy())

    def compute(self) -> dict[str, float]:
        return self._counts.iou() | {"pixel_accuracy": self._counts.accuracy()}


_DEFAULT_SETTINGS = {
    "width": 32,
    "flip_test": False,
    "neck": 0,
    "norm": "group",
    "dropout": 0.0,
    "full_size_loss": False,
    "auxiliary_weight": 0.0,
    "init": "torch",
}


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a head with defaults for those that are not set. Raises RecipeError."""
    if unknown := set(settings) - set(_DEFAULT_SETTINGS):
        raise RecipeError(
            f"head setting '{min(unknown)}' is unknown to task seg: it has {', '.join(_DEFAULT_SETTINGS)}"
        )
    chosen: dict[str, Any] = {**_DEFAULT_SETTINGS, **settings}
    width, neck, norm = chosen["width"], chosen["neck"], chosen["norm"]
    if type(width) is not int or width < 8 or width % 8:
        raise RecipeError(f"head width {width}: must be a multiple of 8, for the group norm")
    if type(neck) is not int or neck < 0:
        raise RecipeError(f"head neck {neck}: must be a number of channels, or 0 for none")
    if norm not in ("group", "batch"):
        raise RecipeError(f"head norm {norm}: must be group or batch")
    if chosen["init"] not in ("torch", "mmseg"):
        raise RecipeError(f"head init {chosen['init']}: must be torch or mmseg")
    for name in ("flip_test", "full_size_loss"):
        if type(chosen[name]) is not bool:
            raise RecipeError(f"head {name} {chosen[name]}: must be true or false")
    for name in ("dropout", "auxiliary_weight"):
        if type(chosen[name]) not in (int, float) or not 0 <= chosen[name] < 1:
            raise RecipeError(f"head {name} {chosen[name]}: must be from 0 to 1, without 1")
    return chosen


def _full_size_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy of logits upsampled to the target, averaged over all pixels, void ones included.

    mmseg's default, which makes the mean over parts of a batch that of the batch.
    """
    large = F.interpolate(logits, size=target.shape[1:], mode="bilinear", align_corners=False)
    return F.cross_entropy(large, target.long(), ignore_index=VOID, reduction="sum") / target.numel()


@register
class Segmentation(LogitTask):
    """Semantic segmentation: one class per pixel."""

    name, metric = "seg", "miou"

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Build the semantic FPN; for `settings` see `SemanticFPN`."""
        return SemanticFPN(channels, strides, len(vocabulary.classes), **_checked(settings))

    def annotate(self, sample: Sample, size: Size, *, training: bool) -> Example:
        """Return `semantic`, the (h, w) class ids; for evaluation `truth_semantic`, those of the stored image."""
        if sample.semantic is None:
            raise BadDataFailure("a sample has no semantic map")
        stored = torch.from_numpy(sample.semantic)
        return {"semantic": resize_pixels(stored[None], size, ids=True)[0]} if training else {"truth_semantic": stored}

    def collate(self, examples: Sequence[Example], views: Sequence[View]) -> Tensor | LabelMaps:
        """Return the (N, H, W) class ids, or for evaluation the maps of the stored images."""
        if "semantic" in examples[0]:
            return torch.stack([example["semantic"] for example in examples])
        return LabelMaps.of(examples, views)

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Tensor) -> Tensor:
        """Return the loss of the head's logits, and with an auxiliary head the weighted sum with its loss."""
        if not isinstance(head, SemanticFPN):  # any other module that gives logits
            return super().loss(head, pyramid, target)
        loss_of = _full_size_loss if head.full_size_loss else self.loss_from_logits
        loss = loss_of(head(pyramid).float(), target)
        if head.auxiliary is None:
            return loss
        return loss + head.auxiliary_weight * loss_of(head.auxiliary(pyramid).float(), target)

    def loss_from_logits(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy at the resolution of the logits; void pixels are ignored.

        Each logit is compared with the target's pixel nearest to its centre. Upsampling the logits, as evaluation does,
        would take a quarter of a training step on a CPU.
        """
        stride = target.shape[1] // logits.shape[2]
        coarse = target[:, stride // 2 :: stride, stride // 2 :: stride]
        return F.cross_entropy(logits, coarse.long(), ignore_index=VOID)

    def evaluation_images(self, head: nn.Module, images: Tensor) -> Tensor:
        """Return the images, and with the flip test the flipped images too."""
        assert isinstance(head, SemanticFPN)
        return append_flipped(images) if head.flip_test else images

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: LabelMaps) -> Tensor:
        """Return (N, classes, h, w) logits, or with the flip test mean probabilities.

        With the flip test, the pyramid is of the N images and then of the N flipped images.
        """
        assert isinstance(head, SemanticFPN)
        outputs: Tensor = head(pyramid)
        if not head.flip_test:
            return outputs
        probabilities, from_flipped = split_flipped(outputs.float().softmax(1), len(target))
        return (probabilities + from_flipped) / 2

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric: mean IoU, frequency-weighted IoU and pixel accuracy."""
        return _MeanIoU(len(vocabulary.classes))

    def draw_predictions(
        self, images: Sequence[Tensor], output: Tensor, target: LabelMaps, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Draw the class maps over the image, at the size of the stored image or larger."""
        pairs = []
        predicted = [ids for logits, _ in target.to_stored_size(output.cpu()) for ids in logits.argmax(1)]
        for image, ids, truth in zip(images, predicted, target.maps, strict=True):
            large, _ = enlarge(image, (int(truth.shape[0]), int(truth.shape[1])))
            pairs.append((with_map(large, truth), with_map(large, ids)))
        return pairs
