"""Semantic segmentation with the semantic FPN head (Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from PIL import Image
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from workers.data.base import VOID, Sample, Vocabulary
from workers.errors import BadDataFailure, RecipeError
from workers.metrics.base import Metric
from workers.targets.crop import CropWindow
from workers.tasks.base import LogitTask, plain_and_mirrored, register
from workers.tasks.drawing import enlarged, with_map


class SemanticFPN(nn.Module):
    """Top-down FPN, each level brought to the finest one's size, summed, classified.

    Pyramid to (N, classes, H / stride, W / stride) logits, stride being that of the finest level.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, width: int, flip_test: bool
    ) -> None:
        """flip_test: whether mirrored images are predicted too, for the mean of both."""
        super().__init__()
        self.flip_test = flip_test
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        steps = [round(math.log2(stride / strides[0])) for stride in strides]
        self.branches = nn.ModuleList(_branch(width, n) for n in steps)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Logits at the finest level's size."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, pyramid, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + F.interpolate(levels[i], size=levels[i - 1].shape[2:])
        summed = sum((b(x) for b, x in zip(self.branches[1:], levels[1:], strict=True)), self.branches[0](levels[0]))
        logits: Tensor = self.classify(summed)
        return logits


def _branch(width: int, doublings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(max(1, doublings)):
        layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
        if i < doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
    return nn.Sequential(*layers)


class _Overlap(Metric):
    """IoU a class from one confusion matrix over all pixels; classes absent from the targets do not count."""

    def __init__(self, classes: int) -> None:
        # Class ids are checked where they are read; to look for others here would take half of the update.
        self._confusion = MulticlassConfusionMatrix(classes, ignore_index=VOID, validate_args=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        full = F.interpolate(output.float(), size=target.shape[1:], mode="bilinear")
        self._confusion.update(full.argmax(1).cpu(), target.cpu())

    def compute(self) -> dict[str, float]:
        table = self._confusion.compute().double()
        hits, truth, said = table.diag(), table.sum(1), table.sum(0)
        union = truth + said - hits
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
    """One class a pixel."""

    name, metric = "seg", "miou"

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Semantic FPN.

        Settings: `width` is its number of channels, a multiple of 8, `flip_test` whether mirrored images are predicted
        too. That takes twice the time in evaluation and none in training.
        """
        if unknown := set(settings) - {"width", "flip_test"}:
            raise RecipeError(f"head setting '{min(unknown)}' is unknown to task seg: it has width, flip_test")
        width, flip_test = settings.get("width", 32), settings.get("flip_test", False)
        if not isinstance(width, int) or width < 8 or width % 8:
            raise RecipeError(f"head width {width}: must be a multiple of 8, for the group norm")
        if not isinstance(flip_test, bool):
            raise RecipeError(f"head flip_test {flip_test}: must be true or false")
        return SemanticFPN(channels, strides, len(vocabulary.classes), width, flip_test)

    def target(self, sample: Sample, size: tuple[int, int]) -> Tensor:
        """(H, W) class ids, uint8, nearest neighbour."""
        if sample.semantic is None:
            raise BadDataFailure("a sample has no semantic map")
        resized = Image.fromarray(sample.semantic).resize((size[1], size[0]), Image.Resampling.NEAREST)
        return torch.from_numpy(np.array(resized))

    def loss_of(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy at the output's resolution, on the target's pixel nearest to each centre; void does not count.

        A quarter of the time of a step on a CPU went into upsampling the logits for the loss; evaluation does it still.
        """
        stride = target.shape[1] // logits.shape[2]
        coarse = target[:, stride // 2 :: stride, stride // 2 :: stride]
        return F.cross_entropy(logits, coarse.long(), ignore_index=VOID)

    def evaluation_images(self, head: nn.Module, images: Tensor) -> Tensor:
        """With the flip test, the images and then the same mirrored."""
        assert isinstance(head, SemanticFPN)
        return torch.cat([images, images.flip(-1)]) if head.flip_test else images

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: Tensor) -> Tensor:
        """(N, classes, h, w) logits; with the flip test mean probabilities, its pyramid being that of 2 N images."""
        assert isinstance(head, SemanticFPN)
        outputs: Tensor = head(pyramid)
        if not head.flip_test:
            return outputs
        plain, mirrored = plain_and_mirrored(outputs.float().softmax(1), len(target))
        return (plain + mirrored) / 2

    def flip(self, target: Tensor) -> Tensor:
        """Mirrored map."""
        return target.flip(-1)

    def zoom(self, target: Tensor, window: CropWindow) -> Tensor:
        """Part of the map."""
        return window.map(target)

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Mean IoU, frequency-weighted IoU and pixel accuracy."""
        return _Overlap(len(vocabulary.classes))

    def pictures(
        self, images: Tensor, output: Tensor, target: Tensor, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Class maps over the image."""
        pairs = []
        for image, logits, truth in zip(images, output.float().cpu(), target.cpu(), strict=True):
            large, _ = enlarged(image)
            said = F.interpolate(logits[None], size=truth.shape, mode="bilinear")[0].argmax(0)
            pairs.append((with_map(large, truth), with_map(large, said)))
        return pairs
