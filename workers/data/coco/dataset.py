"""`coco:DIR[,train=FILE.json][,val=FILE.json]`: boxes, masks, joints and panoptic segments in COCO's format."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.data.base import VOID, DataSet, DataWarning, Instance, Sample, Vocabulary, register_format, unsupported
from workers.data.coco.layout import ANNOTATION_KINDS, LAYOUT, SUBSETS, parse_location
from workers.data.coco.objects import Category, Dropped
from workers.data.coco.subset import Subset, read_subset
from workers.data.deep_images import bits_in_use, with_reading
from workers.data.files import ImageHeader, decode_image, list_files, read_header, require_folder, verify_image
from workers.data.orientation import SWAPPED, turn_sample
from workers.errors import BadDataFailure, DataError

_MAX_HASHED_IMAGES = 5000  # of larger data sets, only file sizes are hashed and some images opened
_OPENED_IMAGES = 1000  # number of images per split that are opened in larger data sets

__all__ = ["Coco", "DataWarning"]


class Coco(DataSet):
    """Images annotated for one of det, iseg, pose, pano and seg. `held-out` is val.

    Boxes without area and segments without pixels are dropped, with a DataWarning. Train images that have no usable
    annotation are skipped.
    """

    def __init__(self, folder: Path, files: dict[str, Path], task: str) -> None:
        self.spec = ",".join([f"coco:{folder}", *(f"{subset}={file}" for subset, file in files.items())])
        self._folder, self._files, self._task = folder, files, task
        if task not in ANNOTATION_KINDS:
            tasks = ", ".join(ANNOTATION_KINDS)
            remedy = f"coco supports {tasks}; choose one of them or another data set, such as imagefolder:DIR"
            raise unsupported(self.spec, task, remedy)

    def check(self, task: str) -> None:
        """Read all annotations, the header of every image and every panoptic PNG.

        With more than 5,000 images, only the first 1,000 of each split are opened; the others must exist.
        """
        self._require(task)
        require_folder(self._folder, LAYOUT)
        dropped = []
        for subset in self._subsets.values():
            dropped += [*subset.dropped, *self._check_files(subset)]
        dropped += self._unlisted_images()
        if dropped:
            warnings.warn("; ".join(map(str, dropped)), DataWarning, stacklevel=2)

    def classes(self, task: str) -> tuple[str, ...]:
        """Return the names of the categories in the order of their ids, things first."""
        self._require(task)
        return tuple(category.name for category in self._categories)

    def vocabulary(self, task: str) -> Vocabulary:
        """Return the classes, the number of things, and for pose the joints."""
        classes, first = self.classes(task), self._categories[0]
        things = sum(category.thing for category in self._categories)
        return Vocabulary(classes, things, first.joints, first.sigmas)

    def people(self, split: str) -> Sequence[tuple[int, int]]:
        """List all people with a labelled joint, without crowds. Decodes no image."""
        if self._task != "pose":
            return []
        objects = self._subsets[split].objects
        assert objects is not None
        rows = objects.people()
        images = objects.images_of(rows)
        return list(zip(images.tolist(), (rows - objects.starts[images]).tolist(), strict=True))

    def first_person(self, split: str) -> tuple[int, int] | None:
        """Return the first person with a labelled joint. Decodes no image."""
        return next(iter(self.people(split)), None)

    def fingerprint(self) -> str:
        """Return the hash of annotation files, images and PNGs. With more than 5,000 images, file sizes are hashed.

        Deep images that use fewer bits, and transparent ones, give another hash.
        """
        digest = hashlib.sha256()
        for split, subset in self._subsets.items():
            digest.update(b"\0".join([split.encode(), *subset.digests]))
            for name, file in self._list_files(subset):
                digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + self._digest(file))
        return with_reading(digest.hexdigest()[:16], self._paths, self._bits)

    def size(self, split: str) -> int:
        """Return the number of images."""
        return len(self._subsets[split].used)

    def image_size(self, split: str, index: int) -> tuple[int, int]:
        """Return the (height, width) in the annotation file."""
        subset = self._subsets[split]
        width, height = subset.images.sizes[subset.used[index]].tolist()
        return height, width

    def sample(self, split: str, index: int) -> Sample:
        """Return an image and its annotations. Raises BadDataFailure for a file that changed after the check."""
        try:
            subset = self._subsets[split]
            self.require_index(split, index)
            return self._read(subset, int(subset.used[index]))
        except DataError as error:
            raise BadDataFailure(str(error)) from error

    def _read(self, subset: Subset, image: int) -> Sample:
        path = subset.root / subset.images.names[image]
        pixels, orientation = decode_image(path, bits=self._bits), 1
        width, height = subset.images.sizes[image].tolist()
        if pixels.shape[:2] != (height, width):
            orientation = _annotated_orientation(subset, image, path, read_header(path))
            pixels = decode_image(path, upright=False, bits=self._bits)
        return turn_sample(self._annotate(subset, image, pixels), orientation)

    def _annotate(self, subset: Subset, image: int, pixels: NDArray[np.uint8]) -> Sample:
        """Return the sample of an image with these pixels, in the frame of its annotations."""
        instances = _read_instances(subset, image) if subset.objects is not None else ()
        if subset.segments is None:
            return Sample(pixels, instances=instances)
        from_segments = self._task == "pano" and subset.objects is None  # there is no instances file
        maps = subset.segments.read(image, pixels.shape[1], pixels.shape[0], from_segments)
        return Sample(
            pixels,
            semantic=maps.semantic,
            panoptic=maps.panoptic,
            instances=maps.things if from_segments else instances,
            crowds=maps.crowds,
        )

    def _require(self, task: str) -> None:
        if task != self._task:
            raise unsupported(self.spec, task, f"it was opened for {self._task}; open it for {task}")

    @property
    def _categories(self) -> tuple[Category, ...]:
        return self._subsets["train"].categories

    @cached_property
    def _subsets(self) -> dict[str, Subset]:
        """The annotations of each split."""
        subsets = {split: read_subset(self._folder, self._files, self._task, split) for split in SUBSETS}
        train, held_out = subsets["train"], subsets["held-out"]
        for first, second in ((train, held_out), (held_out, train)):
            for category in first.categories:
                if category not in second.categories:
                    raise DataError(
                        f"{second.path} has no category {category.id} equal to that in {first.path}: "
                        "give train and val the same categories (id, name and kind)"
                    )
        return subsets

    def _list_files(self, subset: Subset) -> Iterator[tuple[str, Path]]:
        """Yield name and path of all images and PNGs of a split."""
        for image in subset.used:
            name = subset.images.names[image]
            yield name, subset.root / name
            png = subset.segments.png(int(image)) if subset.segments is not None else None
            if png is not None:
                yield png.name, png

    @property
    def _paths(self) -> list[Path]:
        """The images of both splits."""
        return [s.root / s.images.names[image] for s in self._subsets.values() for image in s.used]

    @cached_property
    def _bits(self) -> int:
        return bits_in_use(self._paths)

    @cached_property
    def _is_large(self) -> bool:
        return sum(len(subset.used) for subset in self._subsets.values()) > _MAX_HASHED_IMAGES

    def _digest(self, file: Path) -> bytes:
        try:
            if self._is_large:
                return file.stat().st_size.to_bytes(8, "big")
            return hashlib.sha256(file.read_bytes()).digest()
        except OSError as error:
            raise DataError(f"{file} cannot be read: restore it or check its permissions") from error

    def _check_files(self, subset: Subset) -> list[Dropped]:
        for _, file in self._list_files(subset):
            if not os.path.isfile(file):
                raise DataError(f"{file} does not exist, but {subset.path} lists it: add it or remove it there")
        missing, labelled = list[str](), subset.segments is None or self._is_large
        for image in subset.used[: _OPENED_IMAGES if self._is_large else None].tolist():
            path = subset.root / subset.images.names[image]
            _annotated_orientation(subset, image, path, verify_image(path))
            if subset.segments is not None:
                if (png := subset.segments.png(image)) is not None and png.is_file():
                    verify_image(png)
                width, height = subset.images.sizes[image].tolist()
                maps = subset.segments.read(image, width, height, False)
                missing += [f"segment {segment} of {path.name}" for segment in maps.missing]
                labelled = labelled or bool((maps.semantic != VOID).any())
        if not labelled:
            raise DataError(f"{subset.path}: every pixel of its PNGs is void: paint the segments that it lists")
        return [Dropped(subset.path, len(missing), "segments without pixels", missing[0])] if missing else []

    def _unlisted_images(self) -> list[Dropped]:
        """Return, for each folder of images, how many no annotation file lists."""
        listed: dict[Path, set[str]] = {}
        for subset in self._subsets.values():
            listed.setdefault(subset.root.resolve(), set()).update(subset.images.names)
        unlisted = {root: [f.name for f in list_files(root) if f.name not in names] for root, names in listed.items()}
        return [
            Dropped(root, len(names), "images that no annotation file lists", names[0], "left out")
            for root, names in unlisted.items()
            if names
        ]


def _annotated_orientation(subset: Subset, image: int, path: Path, header: ImageHeader) -> int:
    """Return the orientation by which annotations are turned with the stored image; 1 if they are of the upright image.

    Raises DataError unless width and height in the annotation file are those of the upright or of the stored image, and
    the annotations fit them.
    """
    annotated = tuple(subset.images.sizes[image].tolist())
    if header.size == annotated:
        return 1
    sideways = subset.objects is not None and bool(subset.objects.sideways[image])
    if header.stored == annotated and header.orientation in SWAPPED and sideways:
        raise DataError(
            f"{path} is shown turned (EXIF orientation {header.orientation}), as {header.size[0]}x{header.size[1]}: "
            f"{subset.path} gives the size before that, but has annotations that fit only after it: exchange width "
            "and height there"
        )
    if header.stored == annotated:
        return header.orientation
    width, height = annotated
    raise DataError(
        f"{path} is {header.size[0]}x{header.size[1]} pixels but {width}x{height} in {subset.path}: "
        "correct width and height there, or replace the image"
    )


def _read_instances(subset: Subset, image: int) -> tuple[Instance, ...]:
    objects = subset.objects
    assert objects is not None
    width, height = subset.images.sizes[image].tolist()
    instances = []
    for row in range(int(objects.starts[image]), int(objects.starts[image + 1])):
        x0, y0, x1, y1 = objects.boxes[row].tolist()
        mask = None
        if objects.segmentations is not None:
            mask = objects.segmentations.draw(row, width, height)
            if mask is None:  # a crowd with only a box: the whole box is ignored
                mask = np.zeros((height, width), dtype=np.bool_)
                mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        joints = None if objects.joints is None else objects.joints[row].copy()
        area = None if np.isnan(objects.areas[row]) else float(objects.areas[row])
        instances.append(
            Instance(int(objects.classes[row]), mask, (x0, y0, x1, y1), joints, bool(objects.crowds[row]), area)
        )
    return tuple(instances)


@register_format("coco")
def _open(location: str, task: str) -> DataSet:
    return Coco(*parse_location(location), task)
