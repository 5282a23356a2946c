"""The interface of data sets, and the registry of formats that opens `FORMAT[:LOCATION]`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.entry_points import DATA, load_entry_points, require_free_name
from workers.errors import DataError, UnknownNameError

VOID = 255  # class id of pixels that are ignored in training and evaluation


class DataWarning(UserWarning):
    """A data set that can be used, but some of its files or annotations are left out or read in a special way."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One annotated object.

    category: class id. mask: (H, W); None if only boxes are annotated. box: x0, y0, x1, y1 in pixels, x1 and y1
    exclusive. joints: (J, 3) x, y, visibility as in COCO: 0 not labelled, 1 hidden, 2 visible. crowd: a group
    annotated as one object, which is not trained on and not counted if missed. area: as annotated; see `pixel_area`.
    """

    category: int
    mask: NDArray[np.bool_] | None
    box: tuple[float, float, float, float]
    joints: NDArray[np.float32] | None = None
    crowd: bool = False
    area: float | None = None

    def pixel_area(self) -> float:
        """Return the annotated area in pixels, or else that of the mask or box. COCO groups objects by it."""
        if self.area is not None:
            return float(self.area)
        if self.mask is not None:
            return float(self.mask.sum())
        x0, y0, x1, y1 = self.box
        return float((x1 - x0) * (y1 - y0))


@dataclass(frozen=True, slots=True)
class Sample:
    """One decoded image, uint8 (H, W, 3), and the annotations that its data set has for the task."""

    image: NDArray[np.uint8]
    category: int | None = None
    semantic: NDArray[np.uint8] | None = None  # (H, W) class ids, VOID where unknown
    panoptic: NDArray[np.int32] | None = None  # (H, W), class * 1000 + number, number 0 for stuff; -1 where unknown
    instances: tuple[Instance, ...] = ()
    crowds: frozenset[int] = frozenset()  # ids in `panoptic` that are crowds


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names of the classes and joints that a data set has for one task.

    classes: in the order of their ids, things first. things: how many classes are things. joints: joints of a person,
    empty if none are annotated. sigmas: per joint, the spread between annotators for OKS; uniform if empty.
    """

    classes: tuple[str, ...]
    things: int
    joints: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()


class DataSet(ABC):
    """Images with annotations for one or several tasks, in the splits `train` and `held-out`."""

    spec: str  # FORMAT:LOCATION as on the command line, with absolute paths; stored with every label

    @abstractmethod
    def check(self, task: str) -> None:
        """Raise DataError with file and remedy if anything that `task` needs is missing or invalid.

        What is left out is counted in a DataWarning.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of a hash of the content; the location does not matter."""

    @abstractmethod
    def classes(self, task: str) -> tuple[str, ...]:
        """Return the names of the classes of `task`, in the order of their ids."""

    def vocabulary(self, task: str) -> Vocabulary:
        """Return the names of classes and joints of `task`."""
        classes = self.classes(task)
        return Vocabulary(classes, len(classes))

    def people(self, split: str) -> Sequence[tuple[int, int]]:
        """List all people with a labelled joint as (image, position in its instances). Decodes all images."""
        return list(self._find_people(split))

    def first_person(self, split: str) -> tuple[int, int] | None:
        """Return the first of `people`, None without any. Decodes images up to that person."""
        return next(self._find_people(split), None)

    def _find_people(self, split: str) -> Iterator[tuple[int, int]]:
        for image in range(self.size(split)):
            for position, instance in enumerate(self.sample(split, image).instances):
                if instance.joints is not None and bool((instance.joints[:, 2] > 0).any()):
                    yield image, position

    @abstractmethod
    def size(self, split: str) -> int:
        """Return the number of images in `train` or `held-out`."""

    def image_size(self, split: str, index: int) -> tuple[int, int]:
        """Return (height, width) of an image. Decodes it unless the data set knows better."""
        height, width = self.sample(split, index).image.shape[:2]
        return int(height), int(width)

    def require_index(self, split: str, index: int) -> None:
        """Raise IndexError unless the split has an image `index`."""
        if not 0 <= index < self.size(split):
            raise IndexError(f"{self.spec} has {self.size(split)} images in {split}, not {index}")

    @abstractmethod
    def sample(self, split: str, index: int) -> Sample:
        """Return image `index` of a split, decoded. Raises BadDataFailure if it cannot be read."""


Opener = Callable[[str, str], DataSet]
_FORMATS: dict[str, Opener] = {}


def register_format(name: str) -> Callable[[Opener], Opener]:
    """Decorator: register a function (location, task) -> DataSet that opens `name:location`. Raises NameTakenError."""

    def remember(opener: Opener) -> Opener:
        require_free_name("data format", name, opener, _FORMATS)
        _FORMATS[name] = opener
        return opener

    return remember


def open_data(spec: str, task: str) -> DataSet:
    """Open the data set `spec`, written FORMAT[:LOCATION], for one task.

    Raises UnknownNameError for an unknown format and DataError for a wrong location.
    """
    load_entry_points(DATA)
    name, _, where = spec.partition(":")
    if name not in _FORMATS:
        raise UnknownNameError("data format", name, _FORMATS)
    return _FORMATS[name](where, task)


def unsupported(spec: str, task: str, remedy: str) -> DataError:
    """Build the error for a data set without annotations for `task`."""
    return DataError(f"data '{spec}' has no annotations for task {task}: {remedy}")
