"""What every task offers, and the registry that finds a task by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from workers.data.base import Sample
from workers.errors import UnknownNameError


class Meter(ABC):
    """Gathers predictions, then gives the metrics: names to numbers, higher is better, 0..1."""

    @abstractmethod
    def update(self, output: Tensor, target: Tensor) -> None:
        """Count one batch of a head's output against its targets."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """All metrics over what was counted."""


class Task(ABC):
    """A head on a feature pyramid, its loss and its metric."""

    name: str
    metric: str  # which of the meter's metrics is the label's value

    @abstractmethod
    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, settings: Mapping[str, Any]
    ) -> nn.Module:
        """A module from the pyramid to the task's output. Raises RecipeError for an unknown setting."""

    @abstractmethod
    def target(self, sample: Sample, size: tuple[int, int]) -> Tensor:
        """The annotation of one sample at (height, width), as `loss` and the meter take it once stacked."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean loss of a batch, a scalar."""

    @abstractmethod
    def flip(self, target: Tensor) -> Tensor:
        """The target of the image mirrored left to right."""

    @abstractmethod
    def meter(self, classes: int) -> Meter:
        """A fresh meter."""


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
