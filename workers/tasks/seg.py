"""Semantic segmentation with the semantic FPN head (Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from workers.data.base import VOID, Sample, Vocabulary
from workers.errors import BadDataFailure, RecipeError
from workers.metrics.base import Metric
from workers.targets.example import Example
from workers.targets.frame import Size, resize_pixels
from workers.targets.label_maps import LabelMaps
from workers.targets.view import View
from workers.tasks.base import LogitTask, register
from workers.tasks.drawing import enlarge, with_map
from workers.tasks.flip_test import append_flipped, split_flipped


class SemanticFPN(nn.Module):
    """Top-down FPN whose levels are upsampled to the size of the finest level, summed and classified.

    Pyramid to (N, classes, H / stride, W / stride) logits, with the stride of the finest level.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, width: int, flip_test: bool
    ) -> None:
        """Build the head. flip_test: whether to average the predictions for images and flipped images."""
        super().__init__()
        self.flip_test = flip_test
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        steps = [round(math.log2(stride / strides[0])) for stride in strides]
        self.branches = nn.ModuleList(_branch(width, n) for n in steps)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Return the logits at the size of the finest level."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, pyramid, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + F.interpolate(levels[i], size=levels[i - 1].shape[2:])
        summed = sum((b(x) for b, x in zip(self.branches[1:], levels[1:], strict=True)), self.branches[0](levels[0]))
        logits: Tensor = self.classify(summed)
        return logits


def _branch(width: int, doublings: int) -> nn.Sequential:
    """Build 3x3 convolutions that upsample a level by 2 ** doublings."""
    layers: list[nn.Module] = []
    for i in range(max(1, doublings)):
        layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
        if i < doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
    return nn.Sequential(*layers)


class _MeanIoU(Metric):
    """Mean IoU from one confusion matrix over all pixels; classes absent from the targets do not count."""

    def __init__(self, classes: int) -> None:
        # Class ids are checked when they are read; checking them here again would take half of the update's time.
        self._confusion = MulticlassConfusionMatrix(classes, ignore_index=VOID, validate_args=False)

    def update(self, output: Tensor, target: LabelMaps) -> None:
        for logits, truth in target.to_stored_size(output):
            self._confusion.update(logits.argmax(1).cpu(), truth)

    def compute(self) -> dict[str, float]:
        table = self._confusion.compute().double()
        hits, truth, predicted = table.diag(), table.sum(1), table.sum(0)
        union = truth + predicted - hits
        present = truth > 0
        iou = hits[present] / union[present]
        share = truth[present] / truth.sum()
        return {
            "miou": float(iou.mean()),
            "frequency_weighted_iou": float((iou * share).sum()),
            "pixel_accuracy": float(hits.sum() / truth.sum()),
        }


@register
class Segmentation(LogitTask):
    """Semantic segmentation: one class per pixel."""

    name, metric = "seg", "miou"

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Build the semantic FPN.

        Settings: `width` is its number of channels, a multiple of 8; `flip_test` is whether flipped images are
        predicted too, which doubles the time of evaluation and does not change training.
        """
        if unknown := set(settings) - {"width", "flip_test"}:
            raise RecipeError(f"head setting '{min(unknown)}' is unknown to task seg: it has width, flip_test")
        width, flip_test = settings.get("width", 32), settings.get("flip_test", False)
        if not isinstance(width, int) or width < 8 or width % 8:
            raise RecipeError(f"head width {width}: must be a multiple of 8, for the group norm")
        if not isinstance(flip_test, bool):
            raise RecipeError(f"head flip_test {flip_test}: must be true or false")
        return SemanticFPN(channels, strides, len(vocabulary.classes), width, flip_test)

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
