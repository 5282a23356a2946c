"""`coco:DIR[,train=FILE.json][,val=FILE.json]`: boxes, masks, joints and panoptic segments in COCO's JSON files."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.data.base import DataSet, Instance, Sample, Vocabulary, register_format, unsupported
from workers.data.coco.json import read_json
from workers.data.coco.layout import KINDS, LAYOUT, PARTS, beside_panoptic, find_annotations, find_images, parse_place
from workers.data.coco.objects import Category, Drops, Images, Objects, read_categories, read_images, read_objects
from workers.data.coco.panoptic import MAX_CLASSES, Segments, read_segments
from workers.data.files import decode_image, require_folder, verify_image
from workers.errors import BadDataFailure, DataError

_MANY = 5000  # images beyond which not every byte is read
_VERIFIED = 1000  # images a split that are then opened all the same


class DataWarning(UserWarning):
    """A data set that can be used, but not with all that its files say."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What the annotation files say of one split. used: the images that it consists of."""

    path: Path
    categories: tuple[Category, ...]
    images: Images
    root: Path
    objects: Objects | None
    segments: Segments | None
    used: NDArray[np.int64]
    drops: tuple[Drops, ...]
    digests: tuple[bytes, ...]


class Coco(DataSet):
    """Images annotated for one of det, iseg, pose, pano and seg. `held-out` is val.

    Boxes without area and segments without pixels are left out, and counted in a DataWarning. A train image on which
    nothing is left to learn from is left out as well.
    """

    def __init__(self, folder: Path, files: dict[str, Path], task: str) -> None:
        self.spec = ",".join([f"coco:{folder}", *(f"{part}={file}" for part, file in files.items())])
        self._folder, self._files, self._task = folder, files, task
        if task not in KINDS:
            remedy = f"coco serves {', '.join(KINDS)}; choose one of them or another data set, such as imagefolder:DIR"
            raise unsupported(self.spec, task, remedy)

    def check(self, task: str) -> None:
        """Read all annotations, the header of every image and every panoptic PNG.

        Of more than 5,000 images only the first 1,000 a split are opened; the others must be there.
        """
        self._require(task)
        require_folder(self._folder, LAYOUT)
        drops = []
        for part in self._parts.values():
            drops += [*part.drops, *self._check_files(part)]
        if drops:
            warnings.warn("; ".join(map(str, drops)), DataWarning, stacklevel=2)

    def classes(self, task: str) -> tuple[str, ...]:
        """Names of the categories in the order of their ids, things first."""
        self._require(task)
        return tuple(category.name for category in self._categories)

    def vocabulary(self, task: str) -> Vocabulary:
        """Classes, things, and for pose the joints."""
        classes, first = self.classes(task), self._categories[0]
        things = sum(category.thing for category in self._categories)
        return Vocabulary(classes, things, first.joints, first.sigmas)

    def people(self, split: str) -> Sequence[tuple[int, int]]:
        """Everyone with a labelled joint, as the file says; crowds are nobody."""
        if self._task != "pose":
            return []
        objects = self._parts[split].objects
        assert objects is not None
        rows = objects.people()
        images = objects.images(rows)
        return list(zip(images.tolist(), (rows - objects.first[images]).tolist(), strict=True))

    def fingerprint(self) -> str:
        """Hash of the annotation files and of images and PNGs: of their sizes where there are more than 5,000."""
        digest = hashlib.sha256()
        for split, part in self._parts.items():
            digest.update(b"\0".join([split.encode(), *part.digests]))
            for name, file in self._list_files(part):
                digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + self._digest(file))
        return digest.hexdigest()[:16]

    def size(self, split: str) -> int:
        """Number of images."""
        return len(self._parts[split].used)

    def sample(self, split: str, index: int) -> Sample:
        """Image and annotations. Raises BadDataFailure for a file that is no longer as it was checked."""
        try:
            part = self._parts[split]
            if not 0 <= index < len(part.used):
                raise IndexError(f"{self.spec} has {len(part.used)} images in {split}, not {index}")
            return self._read(part, int(part.used[index]))
        except DataError as error:
            raise BadDataFailure(str(error)) from error

    def _read(self, part: _Part, image: int) -> Sample:
        path = part.root / part.images.names[image]
        pixels = decode_image(path)
        _check_size(part, image, path, (pixels.shape[1], pixels.shape[0]))
        found = _read_instances(part, image) if part.objects is not None else ()
        if part.segments is None:
            return Sample(pixels, instances=found)
        alone = self._task == "pano" and part.objects is None
        scene = part.segments.read(image, pixels.shape[1], pixels.shape[0], alone)
        return Sample(
            pixels,
            semantic=scene.semantic,
            panoptic=scene.panoptic,
            instances=scene.things if alone else found,
            crowds=scene.crowds,
        )

    def _require(self, task: str) -> None:
        if task != self._task:
            raise unsupported(self.spec, task, f"it was opened for {self._task}; open it for {task}")

    @property
    def _categories(self) -> tuple[Category, ...]:
        return self._parts["train"].categories

    @cached_property
    def _parts(self) -> dict[str, _Part]:
        parts = {split: self._read_part(split) for split in PARTS}
        train, held_out = parts["train"], parts["held-out"]
        for one, other in ((train, held_out), (held_out, train)):
            for category in one.categories:
                if category not in other.categories:
                    raise DataError(
                        f"{other.path} lacks category {category.id} as {one.path} has it: "
                        "give train and val the same categories (id, name and kind)"
                    )
        return parts

    def _read_part(self, split: str) -> _Part:
        name = PARTS[split]
        path = self._files.get(name) or find_annotations(self._folder, KINDS[self._task], name)
        content, digest = read_json(path)
        images = read_images(path, content)
        categories = read_categories(path, content, self._task)
        objects, segments, drop, digests = None, None, None, [digest]
        if self._task in ("pano", "seg"):
            if len(categories) > MAX_CLASSES:
                raise DataError(f"{path} has {len(categories)} categories: {MAX_CLASSES} are the most, merge some")
            pngs, instances = beside_panoptic(path)
            segments = read_segments(path, content, pngs, images, categories)
            if self._task == "pano" and instances is not None:
                content, digest = read_json(instances)
                digests.append(digest)
                objects, drop = read_objects(
                    instances, content, images, _match_things(instances, content, path, categories), self._task, 0
                )
        else:
            classes = {category.id: place for place, category in enumerate(categories)}
            joints = len(categories[0].joints)
            objects, drop = read_objects(path, content, images, classes, self._task, joints)
        used = self._choose_images(split, path, images, objects, segments)
        root = find_images(self._folder, name, images.names, name in self._files)
        drops = () if drop is None else (drop,)
        return _Part(path, categories, images, root, objects, segments, used, drops, tuple(digests))

    def _choose_images(
        self, split: str, path: Path, images: Images, objects: Objects | None, segments: Segments | None
    ) -> NDArray[np.int64]:
        """All images; of train those with something to learn from, save for pose, which takes people one by one."""
        if segments is not None:
            usable = np.flatnonzero(np.diff(segments.first))
        else:
            assert objects is not None
            rows = objects.people() if self._task == "pose" else np.flatnonzero(~objects.crowds)
            usable = np.unique(objects.images(rows))
        if not usable.size:
            what = "person with a labelled joint" if self._task == "pose" else "object or segment"
            raise DataError(f"{path} has no usable {what} on any image: annotate some, or give another file")
        return usable if split == "train" and self._task != "pose" else np.arange(len(images.names))

    def _list_files(self, part: _Part) -> Iterator[tuple[str, Path]]:
        for image in part.used:
            name = part.images.names[image]
            yield name, part.root / name
            png = part.segments.pngs[image] if part.segments is not None else None
            if png is not None:
                yield png.name, png

    @cached_property
    def _is_large(self) -> bool:
        return sum(len(part.used) for part in self._parts.values()) > _MANY

    def _digest(self, file: Path) -> bytes:
        try:
            if self._is_large:
                return file.stat().st_size.to_bytes(8, "big")
            return hashlib.sha256(file.read_bytes()).digest()
        except OSError as error:
            raise DataError(f"{file} cannot be read: restore it or check its permissions") from error

    def _check_files(self, part: _Part) -> list[Drops]:
        for _, file in self._list_files(part):
            if not os.path.isfile(file):
                raise DataError(f"{file} does not exist, but {part.path} lists it: add it or remove it there")
        lost: list[str] = []
        for image in part.used[: _VERIFIED if self._is_large else None].tolist():
            path = part.root / part.images.names[image]
            size = verify_image(path)
            _check_size(part, image, path, size)
            if part.segments is not None:
                lost += [f"segment {one} of {path.name}" for one in part.segments.read(image, *size, False).lost]
        return [Drops(part.path, len(lost), "segments without pixels", lost[0])] if lost else []


def _match_things(
    instances: Path, content: dict[str, object], panoptic: Path, categories: tuple[Category, ...]
) -> dict[int, int]:
    """Classes of the categories of an instances file beside a panoptic one, which has more of them."""
    places = {(one.id, one.name): place for place, one in enumerate(categories) if one.thing}
    own = read_categories(instances, content, "iseg")
    for category in own:
        if (category.id, category.name) not in places:
            raise DataError(
                f"{instances}: category {category.id} is no thing of that id and name in {panoptic.name}: "
                "give both files the same categories"
            )
    return {category.id: places[category.id, category.name] for category in own}


def _check_size(part: _Part, image: int, path: Path, size: tuple[int, int]) -> None:
    width, height = part.images.sizes[image].tolist()
    if size != (width, height):
        raise DataError(
            f"{path} is {size[0]}x{size[1]} pixels but {width}x{height} in {part.path}: "
            "correct width and height there, or replace the image"
        )


def _read_instances(part: _Part, image: int) -> tuple[Instance, ...]:
    objects = part.objects
    assert objects is not None
    width, height = part.images.sizes[image].tolist()
    found = []
    for row in range(int(objects.first[image]), int(objects.first[image + 1])):
        x0, y0, x1, y1 = objects.boxes[row].tolist()
        mask = None
        if objects.outlines is not None:
            mask = objects.outlines.draw(row, width, height)
            if mask is None:  # a crowd of which only the box is known: all of that may be ignored
                mask = np.zeros((height, width), dtype=np.bool_)
                mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        joints = None if objects.joints is None else objects.joints[row].copy()
        area = None if np.isnan(objects.areas[row]) else float(objects.areas[row])
        found.append(
            Instance(int(objects.classes[row]), mask, (x0, y0, x1, y1), joints, bool(objects.crowds[row]), area)
        )
    return tuple(found)


@register_format("coco")
def _open(where: str, task: str) -> DataSet:
    return Coco(*parse_place(where), task)
