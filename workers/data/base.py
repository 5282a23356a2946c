"""What every data set offers, and the one place that reads FORMAT[:WHERE]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.errors import DataError, UnknownNameError

VOID = 255  # label of a pixel that neither trains nor counts


@dataclass(frozen=True, slots=True)
class Instance:
    """One visible object. box: x0, y0, x1, y1 in pixels, x1 and y1 exclusive. joints: (J, 3) x, y, visibility.

    Visibility follows COCO: 0 not labelled, 1 hidden, 2 visible. mask: (H, W); None where only boxes are annotated.
    area: in pixels as annotated, which COCO sorts objects into sizes by; that of mask or box if None.
    """

    category: int
    mask: NDArray[np.bool_] | None
    box: tuple[float, float, float, float]
    joints: NDArray[np.float32] | None = None
    crowd: bool = False  # a group annotated as one: neither trains nor counts as a miss
    area: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One decoded image, uint8 (H, W, 3), and the annotations its data set has."""

    image: NDArray[np.uint8]
    category: int | None = None
    semantic: NDArray[np.uint8] | None = None  # (H, W) class ids, VOID where unknown
    panoptic: NDArray[np.int32] | None = None  # (H, W), class * 1000 + number, 0 for stuff; -1 where unknown
    instances: tuple[Instance, ...] = ()
    crowds: frozenset[int] = frozenset()  # ids in `panoptic` that are groups annotated as one


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the annotations of one task can say.

    classes: names in the order of their ids, things first. things: how many of them are things.
    joints: names, where persons have some. sigmas: spread of the annotators a joint, for OKS; uniform if empty.
    """

    classes: tuple[str, ...]
    things: int
    joints: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()


class DataSet(ABC):
    """Images with annotations, in the splits `train` and `held-out`."""

    spec: str  # as on the command line

    @abstractmethod
    def check(self, task: str) -> None:
        """Raise DataError, naming file and remedy, unless all that `task` needs is there and valid."""

    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the content, wherever it lies."""

    @abstractmethod
    def classes(self, task: str) -> tuple[str, ...]:
        """Names of the classes of `task`, in the order of their ids."""

    def vocabulary(self, task: str) -> Vocabulary:
        """Classes, things and joints of `task`."""
        classes = self.classes(task)
        return Vocabulary(classes, len(classes))

    def people(self, split: str) -> Sequence[tuple[int, int]]:
        """(image, position among its instances) of everyone with a labelled joint. Decodes all images."""
        return [
            (image, position)
            for image in range(self.size(split))
            for position, instance in enumerate(self.sample(split, image).instances)
            if instance.joints is not None and bool((instance.joints[:, 2] > 0).any())
        ]

    @abstractmethod
    def size(self, split: str) -> int:
        """Number of images in `train` or `held-out`."""

    @abstractmethod
    def sample(self, split: str, index: int) -> Sample:
        """Image `index` of a split, decoded."""


Opener = Callable[[str, str], DataSet]
_FORMATS: dict[str, Opener] = {}


def register_format(name: str) -> Callable[[Opener], Opener]:
    """Decorator: `name` on the command line opens this data set with what stands behind the colon, and the task."""

    def remember(opener: Opener) -> Opener:
        _FORMATS[name] = opener
        return opener

    return remember


def open_data(spec: str, task: str) -> DataSet:
    """The data set FORMAT[:WHERE] for a task: a format with an annotation file a task opens that one.

    Raises UnknownNameError for the format and DataError for the place.
    """
    name, _, where = spec.partition(":")
    if name not in _FORMATS:
        raise UnknownNameError("data format", name, _FORMATS)
    return _FORMATS[name](where, task)


def unsupported(spec: str, task: str, remedy: str) -> DataError:
    """The error of a data set that lacks what a task needs."""
    return DataError(f"data '{spec}' has no annotations for task {task}: {remedy}")
