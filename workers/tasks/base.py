"""What every task offers, and the registry that finds a task by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from workers.data.base import DataSet, Sample, Vocabulary
from workers.errors import RecipeError, UnknownNameError
from workers.metrics.base import Metric
from workers.targets.crop import CropWindow

Unit = tuple[int, int]  # image, and position among its instances


class Task(ABC):
    """A head on a feature pyramid, its loss and its metric.

    A target is whatever `target` makes of one sample; `collate` joins those of a batch into something that has
    `.to(device)`. For dense and global tasks that is a tensor.
    """

    name: str
    metric: str  # which of the meter's metrics is the label's value
    also: tuple[str, ...] = ()  # tasks that the same training can answer, see `part` and `companion_metrics`

    @abstractmethod
    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """A module from the pyramid to raw outputs of fixed shapes: what FLOPs are counted of.

        Raises RecipeError for an unknown setting.
        """

    def units(self, data: DataSet, split: str) -> Sequence[Unit]:
        """What one example is made from: (image, 0) for all images, unless a task takes several from one."""
        return [(image, 0) for image in range(data.size(split))]

    def example(self, sample: Sample, position: int, size: tuple[int, int]) -> tuple[Tensor, Any]:
        """(3, H, W) uint8 image of the input size, and its target. `position` is the unit's second number."""
        height, width = size
        image = Image.fromarray(sample.image)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(), self.target(sample, size)

    @abstractmethod
    def target(self, sample: Sample, size: tuple[int, int]) -> Any:
        """The annotation of one sample at (height, width)."""

    def collate(self, targets: Sequence[Any]) -> Any:
        """Targets of a batch, as `loss`, `predict`, `flip` and the meter take them."""
        return torch.stack(list(targets))

    @abstractmethod
    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Any) -> Tensor:
        """Mean loss of a batch, a scalar."""

    def evaluation_images(self, head: nn.Module, images: Tensor) -> Tensor:
        """The images whose pyramid `predict` is given; more than those of the batch for a test by mirroring."""
        return images

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: Any) -> Any:
        """What the meter takes. Of `target` only the sizes of the images may be used."""
        return head(pyramid)

    @abstractmethod
    def flip(self, target: Any) -> Any:
        """The targets of the images mirrored left to right."""

    @abstractmethod
    def zoom(self, target: Any, window: CropWindow) -> Any:
        """The target of one image (before `collate`) cut to a window and enlarged to its old size."""

    @abstractmethod
    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """A fresh meter."""

    @abstractmethod
    def pictures(self, images: Tensor, output: Any, target: Any, vocabulary: Vocabulary) -> list[tuple[Tensor, Tensor]]:
        """For each of (N, 3, H, W) uint8 images, what is annotated and what `predict` said, drawn on it.

        Both are uint8 (3, h, w); see workers/tasks/pictures.py.
        """

    def companion_metrics(self, task: str, vocabulary: Vocabulary) -> Metric:
        """A meter of one of the tasks in `also`, fed with this task's outputs and targets."""
        raise UnknownNameError(f"companion of task {self.name}", task, self.also)

    def part(self, head: nn.Module, task: str) -> nn.Module:
        """The part of a head that answers one of the tasks in `also`, for its FLOPs and parameters."""
        raise UnknownNameError(f"companion of task {self.name}", task, self.also)


class LogitTask(Task):
    """A task whose head gives a logit a class, of an image or of each place of a map; classes are axis 1."""

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Tensor) -> Tensor:
        """See `loss_of`."""
        return self.loss_of(head(pyramid).float(), target)

    @abstractmethod
    def loss_of(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss of float32 logits, a scalar."""


def plain_and_mirrored(outputs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of a test by mirroring, the outputs for `count` images and for the same mirrored, turned back.

    Raises RecipeError where there are none for mirrored images.
    """
    if len(outputs) != 2 * count:
        raise RecipeError("flip_test needs the pyramid of the mirrored images too: evaluate with it, or unset")
    return outputs[:count], outputs[count:].flip(-1)


_REGISTRY: dict[str, Task] = {}


def register(task: type[Task]) -> type[Task]:
    """Class decorator: make the task available under its `name`."""
    _REGISTRY[task.name] = task()
    return task


def get_task(name: str) -> Task:
    """The task of that name. Raises UnknownNameError, naming those there are."""
    if name not in _REGISTRY:
        raise UnknownNameError("task", name, _REGISTRY)
    return _REGISTRY[name]


def task_names() -> list[str]:
    """Names of all registered tasks, sorted."""
    return sorted(_REGISTRY)
