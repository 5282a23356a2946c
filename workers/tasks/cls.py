"""Image classification: global average pooling of the coarsest level and a linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from workers.data.base import Sample, Vocabulary
from workers.errors import BadDataFailure, RecipeError
from workers.metrics.base import Metric
from workers.metrics.class_counts import ClassCounts
from workers.targets.example import Example
from workers.targets.frame import Size
from workers.targets.view import View
from workers.tasks.base import LogitTask, register
from workers.tasks.drawing import enlarge, with_caption


class LinearHead(nn.Module):
    """Global average pooling and a linear layer: pyramid to (N, classes) logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.linear(pyramid[-1].mean((2, 3)))
        return logits


class _Accuracy(Metric):
    """Top-1 accuracy, and its mean over classes."""

    def __init__(self, classes: int) -> None:
        self._counts = ClassCounts(classes)

    def update(self, output: Tensor, target: Tensor) -> None:
        self._counts.update(target.cpu().numpy(), output.float().argmax(1).cpu().numpy())

    def compute(self) -> dict[str, float]:
        return {"top1": self._counts.accuracy(), "balanced_accuracy": self._counts.balanced_accuracy()}


@register
class Classification(LogitTask):
    """Image classification: one class per image."""

    name, metric = "cls", "top1"

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Build the linear head, which has no settings."""
        if settings:
            raise RecipeError(f"head setting '{min(settings)}' is unknown to task cls: it has none")
        return LinearHead(channels[-1], len(vocabulary.classes))

    def annotate(self, sample: Sample, size: Size, *, training: bool) -> Example:
        """Return `category`, the class id, a scalar."""
        if sample.category is None:
            raise BadDataFailure("a sample has no class")
        return {"category": torch.tensor(sample.category)}

    def collate(self, examples: Sequence[Example], views: Sequence[View]) -> Tensor:
        """Return the (N,) class ids."""
        return torch.stack([example["category"] for example in examples])

    def loss_from_logits(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy."""
        return F.cross_entropy(logits, target)

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric: top-1 accuracy, and its mean over classes."""
        return _Accuracy(len(vocabulary.classes))

    def draw_predictions(
        self, images: Sequence[Tensor], output: Tensor, target: Tensor, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Draw the name of the class, and the name and probability of the most likely class."""
        pairs = []
        for image, logits, truth in zip(images, output.float().cpu(), target.tolist(), strict=True):
            probability, predicted = logits.softmax(0).max(0)
            large, _ = enlarge(image)
            guess = f"{vocabulary.classes[int(predicted)]} {float(probability):.2f}"
            pairs.append((with_caption(large, vocabulary.classes[truth]), with_caption(large, guess)))
        return pairs
