"""The interface of tasks, and the registry that finds a task by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from predictor.entry_points import TASKS, load_entry_points, require_free_name
from workers.data.base import DataSet, Sample, Vocabulary
from workers.errors import BadDataFailure, DataError, UnknownNameError
from workers.metrics.base import Metric
from workers.targets.example import Example
from workers.targets.frame import Frame, Size, resize_pixels
from workers.targets.view import View

ExampleRef = tuple[int, int]  # index of an image, and position in its instances
_TRIAL_SIZE = (32, 32)  # of the example that is tried before a campaign


class Task(ABC):
    """A head on a feature pyramid, with its targets, loss, predictions and metric.

    `load_example` makes tensors of one sample, a view of which is drawn for each step; `settle` then removes what the
    view does not show, and `collate` joins examples into a target of any type: a tensor for dense and global tasks.

    Companion tasks: the outputs of one trained head may answer other tasks too. Panoptic segmentation, for example,
    also gives boxes, masks and a semantic map. Such a task names them in `companions`. The option `--also` of the
    command `label` then adds a label of each from the same training, with its metric by `build_companion_metric` and
    its FLOPs and parameters by `companion_head`. Companions do not influence the training.
    """

    name: str
    metric: str  # name of the metric, among those that `build_metric` computes, that is the label's value
    companions: tuple[str, ...] = ()  # names of companion tasks
    centred = False  # whether an example is about what is in its middle, so that views are turned and scaled around it

    @abstractmethod
    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Build the module from pyramid to raw outputs of fixed shapes, whose FLOPs are counted.

        channels, strides: of the pyramid's levels, finest first. settings: the recipe's `head`.
        Raises RecipeError for an unknown or wrong setting.
        """

    def list_examples(self, data: DataSet, split: str) -> Sequence[ExampleRef]:
        """List the examples of a split: (image, 0) for every image, unless a task makes several from one image."""
        return [(image, 0) for image in range(data.size(split))]

    def first_example(self, data: DataSet, split: str) -> ExampleRef | None:
        """Return the first example of a split, None without any. Faster than to list all."""
        return (0, 0) if data.size(split) else None

    def check_data(self, data: DataSet) -> None:
        """Try what a worker will need of a data set that its own check has passed: examples, targets and the metric.

        Raises DataError.
        """
        for split, training in (("train", True), ("held-out", False)):
            ref = self.first_example(data, split)
            if ref is None:
                raise DataError(f"{data.spec}: {split} has no example of task {self.name}: annotate some")
            try:
                self.annotate(data.sample(split, ref[0]), _TRIAL_SIZE, training=training)
            except BadDataFailure as failure:
                raise DataError(f"{data.spec}: {failure}") from failure
        self.build_metric(data.vocabulary(self.name))

    def load_example(self, sample: Sample, ref: ExampleRef, frame: Frame, *, training: bool) -> Example:
        """Return an example as `Frame.kept` sizes it: `image`, and what `annotate` returns.

        training: for training; otherwise for evaluation, with what the metric compares predictions with.
        """
        stored = int(sample.image.shape[0]), int(sample.image.shape[1])
        kept = frame.kept(stored)
        image = resize_pixels(torch.from_numpy(sample.image).permute(2, 0, 1), kept, ids=False)
        image = (
            image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        )  # as decoders write it, so that batches are channels-last
        return {"image": image, "stored": torch.tensor(stored)} | self.annotate(sample, kept, training=training)

    @abstractmethod
    def annotate(self, sample: Sample, size: Size, *, training: bool) -> Example:
        """Return the annotations of one sample for an image of (height, width); see `workers/targets/example.py`."""

    def settle(self, example: Example, view: View) -> Example:
        """Return the annotations of an example that followed `view`, without what is no longer visible.

        Pixels (`image`, `masks`, `semantic`) have not followed it yet.
        """
        return example

    @abstractmethod
    def collate(self, examples: Sequence[Example], views: Sequence[View]) -> Any:
        """Return the target of a batch, as `loss`, `predict` and the metric take it.

        examples: after they followed `views`, pixels too.
        """

    @abstractmethod
    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Any) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    def evaluation_images(self, head: nn.Module, images: Tensor) -> Tensor:
        """Return the images whose pyramid `predict` gets: those of the batch, and for a flip test flipped ones too."""
        return images

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: Any) -> Any:
        """Return the predictions as the metric takes them. Only the image sizes of `target` may be used."""
        return head(pyramid)

    @abstractmethod
    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric."""

    @abstractmethod
    def draw_predictions(
        self, images: Sequence[Tensor], output: Any, target: Any, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Draw the annotations and the predictions on each of N (3, h, w) uint8 images.

        Returns one pair of uint8 (3, h, w) pictures for each image; see workers/tasks/drawing.py.
        """

    def build_companion_metric(self, task: str, vocabulary: Vocabulary) -> Metric:
        """Create the metric of a companion task. It takes the predictions and targets of this task."""
        raise UnknownNameError(f"companion of task {self.name}", task, self.companions)

    def companion_head(self, head: nn.Module, task: str) -> nn.Module:
        """Return the part of `head` that a companion task needs, to count its FLOPs and parameters."""
        raise UnknownNameError(f"companion of task {self.name}", task, self.companions)


class LogitTask(Task):
    """A task whose head returns one logit per class (axis 1), for an image or for every pixel of a map."""

    def check_data(self, data: DataSet) -> None:
        """Require two classes, then try what a worker will need. Raises DataError."""
        classes = data.classes(self.name)
        if len(classes) < 2:
            raise DataError(f"{data.spec} has one class, '{classes[0]}': task {self.name} needs at least two: add one")
        super().check_data(data)

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Tensor) -> Tensor:
        """Return the loss of the head's logits on the pyramid."""
        return self.loss_from_logits(head(pyramid).float(), target)

    @abstractmethod
    def loss_from_logits(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of float32 logits, a scalar."""


_REGISTRY: dict[str, Task] = {}


def register(task: type[Task]) -> type[Task]:
    """Class decorator: register the task under its `name`. Raises NameTakenError."""
    require_free_name("task", task.name, task, _REGISTRY)
    _REGISTRY[task.name] = task()
    return task


def get_task(name: str) -> Task:
    """Return the task of this name. Raises UnknownNameError, which lists all names."""
    load_entry_points(TASKS)
    if name not in _REGISTRY:
        raise UnknownNameError("task", name, _REGISTRY)
    return _REGISTRY[name]


def task_names() -> list[str]:
    """Return the names of all registered tasks, sorted."""
    load_entry_points(TASKS)
    return sorted(_REGISTRY)
