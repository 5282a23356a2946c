"""`masks:DIR[,ignore=ID]`: images/{subset}/*.jpg|png with label PNGs of the same names in annotations/{subset}.

Subsets are train, val and test. The first two may also be called training and validation, as in ADE20K, where class
id 0 means unknown: `masks:ADEChallengeData2016,ignore=0`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.data.array_files import ArrayFiles, index_folder, read_arrays, write_arrays
from workers.data.base import VOID, DataSet, Sample, register_format, unsupported
from workers.data.files import (
    DECODE_ERRORS,
    ImageHeader,
    decode_image,
    hash_files,
    list_files,
    open_folder,
    read_header,
    read_png_header,
    require_folder,
    unreadable,
    verify_image,
)
from workers.data.orientation import turn_pixels
from workers.errors import BadDataFailure, DataError

_LAYOUT = "images/{train,val}/*.jpg|png and annotations/{train,val}/*.png"
_INDEXED_ANNOTATIONS = 1000  # fewer are decoded in little time
_GREY, _PALETTE = 0, 3  # colour types in a PNG header

ImageWithLabels = tuple[Path, Path]  # image, annotation


class MaskFolder(DataSet):
    """Images with a class id for every pixel.

    The split `held-out` consists of the subset val, and of test if it has annotations.
    """

    def __init__(self, folder: Path, ignore: int | None = None) -> None:
        """Open the folder.

        ignore: a class id that means unknown, in addition to VOID. Its class remains in the list of classes, but its
        pixels are ignored in training and evaluation.
        """
        self.spec, self._folder, self._ignore = f"masks:{folder}", folder, ignore
        if ignore is not None:
            self.spec += f",ignore={ignore}"

    def check(self, task: str) -> None:
        """Read every annotation and the header of every image."""
        self._require_seg(task)
        require_folder(self._folder, _LAYOUT)
        for subset in sorted({image.parent.name for pairs in self._pairs.values() for image, _ in pairs}):
            self._check_names(subset)
        count = len(self.classes(task))
        for pairs in self._pairs.values():
            for image, annotation in pairs:
                header = verify_image(image)
                _check_labels(self._labels(annotation, header), annotation, image, header.size, count)

    def classes(self, task: str) -> tuple[str, ...]:
        """Return the names in classes.json, or else `class 0` to the highest id that occurs."""
        self._require_seg(task)
        return self._classes

    def fingerprint(self) -> str:
        """Return the hash of images, annotations and classes.json, and of `ignore` if given."""
        files = [file for pairs in self._pairs.values() for pair in pairs for file in pair]
        if self._names_file.exists():
            files.append(self._names_file)
        content = hash_files(self._folder, files)
        if self._ignore is None:
            return content
        return hashlib.sha256(f"{content} ignore {self._ignore}".encode()).hexdigest()[:16]

    def size(self, split: str) -> int:
        """Return the number of images."""
        return len(self._pairs[split])

    def sample(self, split: str, index: int) -> Sample:
        """Return an image and its class ids. Raises BadDataFailure for a file that changed after the check."""
        self.require_index(split, index)
        image, annotation = self._pairs[split][index]
        try:
            pixels, labels = decode_image(image), self._labels(annotation, read_header(image))
            size = pixels.shape[1], pixels.shape[0]
            _check_labels(labels, annotation, image, size, len(self._classes))
        except DataError as error:
            raise BadDataFailure(str(error)) from error
        return Sample(pixels, semantic=labels)

    def _labels(self, annotation: Path, image: ImageHeader) -> NDArray[np.uint8]:
        """Return the class ids of an image; ids of the stored pixels are turned upright with it."""
        labels = _read_labels(annotation)
        if (labels.shape[1], labels.shape[0]) == image.stored != image.size:
            labels = turn_pixels(labels, image.orientation)
        if self._ignore is not None:
            labels[labels == self._ignore] = VOID
        return labels

    @property
    def _names_file(self) -> Path:
        return self._folder / "classes.json"

    def _require_seg(self, task: str) -> None:
        if task != "seg":
            raise unsupported(self.spec, task, "masks supports seg; choose that task or another data set")

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        if self._names_file.exists():
            return _read_names(self._names_file)
        highest = self._read_highest_id()
        if highest < 0:
            raise DataError(f"{self._folder / 'annotations'} labels every pixel as void ({VOID}): add class ids")
        return tuple(f"class {i}" for i in range(highest + 1))

    def _read_highest_id(self) -> int:
        """Return the highest class id of all annotations, which one process of a machine decodes for all others."""
        annotations = [annotation for pairs in self._pairs.values() for _, annotation in pairs]
        try:
            sizes = hashlib.sha256(",".join(str(path.stat().st_size) for path in annotations).encode()).hexdigest()
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: restore it or check its permissions") from error
        folders = sorted({annotation.parent for annotation in annotations})
        index = index_folder(folders, f"highest id, ignore {self._ignore}, sizes {sizes}")
        if (known := read_arrays(index)) is not None:
            return int(known.facts["highest"])
        highest = max(_highest_id(_read_labels(annotation), self._ignore) for annotation in annotations)
        if len(annotations) >= _INDEXED_ANNOTATIONS:
            write_arrays(index, ArrayFiles({}, {"highest": highest}))
        return highest

    @cached_property
    def _pairs(self) -> dict[str, list[ImageWithLabels]]:
        train, val = self._choose_name("train", "training"), self._choose_name("val", "validation")
        held_out = [subset for subset in (val, "test") if self._is_used(subset)]
        if not held_out:
            raise DataError(
                f"{self._folder / 'images' / 'val'} does not exist, and there is no test folder with annotations: "
                "hold out some images there"
            )
        return {
            "train": self._list_pairs(train),
            "held-out": [pair for subset in held_out for pair in self._list_pairs(subset)],
        }

    def _choose_name(self, *names: str) -> str:
        """Return the first name that is a folder of images, or else the first name."""
        return next((name for name in names if (self._folder / "images" / name).is_dir()), names[0])

    def _is_used(self, subset: str) -> bool:
        annotations = self._folder / "annotations" / subset
        if subset == "test":
            return annotations.is_dir() and bool(list_files(annotations))
        return annotations.exists() or (self._folder / "images" / subset).exists()

    def _list_pairs(self, subset: str) -> list[ImageWithLabels]:
        images, annotations = self._folder / "images" / subset, self._folder / "annotations" / subset
        require_folder(images, f"the {subset} images")
        require_folder(annotations, f"the annotations of the {subset} images")
        pairs = [(image, annotations / f"{image.stem}.png") for image in list_files(images)]
        if not pairs:
            raise DataError(f"{images} is empty: put the {subset} images (.jpg or .png) there")
        return pairs

    def _check_names(self, subset: str) -> None:
        """Check that images and annotations have the same names."""
        images = list_files(self._folder / "images" / subset)
        labels = list_files(self._folder / "annotations" / subset, (".png",))
        by_stem = {image.stem: image for image in images}
        annotated = {label.name for label in labels}
        for image in images:
            if by_stem[image.stem] != image:
                raise DataError(f"{image} and {by_stem[image.stem].name} share one annotation: rename one of them")
            if f"{image.stem}.png" not in annotated:
                raise DataError(f"{image} has no annotation: add annotations/{subset}/{image.stem}.png or remove it")
        for label in labels:
            if label.stem not in by_stem:
                raise DataError(f"{label} has no image: add images/{subset}/{label.stem}.jpg or .png, or remove it")


def _read_names(path: Path) -> tuple[str, ...]:
    remedy = 'write a list of one to 255 different names, such as ["road", "car"]'
    try:
        names = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {remedy}") from error
    if not isinstance(names, list) or not 1 <= len(names) <= VOID:
        raise DataError(f"{path} is not a list of class names: {remedy}")
    if not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) < len(names):
        raise DataError(f"{path} has an empty, repeated or non-text name: {remedy}")
    return tuple(names)


def _read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the stored class ids. Pillow scales grey of less than eight bits to 0..255, which is reversed here."""
    try:
        depth, colour = read_png_header(path)
        if colour not in (_GREY, _PALETTE) or depth > 8:
            raise DataError(f"{path} is not an 8-bit grey or palette PNG: save one class id per pixel, not colours")
        with Image.open(path, formats=["PNG"]) as image:
            stored = np.array(image if image.mode == "P" else image.convert("L"), dtype=np.uint8)
    except DECODE_ERRORS as error:
        raise unreadable(path) from error
    if colour == _GREY and 0 < depth < 8:
        stored //= np.uint8(255 // (2**depth - 1))
    return stored


def _highest_id(labels: NDArray[np.uint8], ignore: int | None = None) -> int:
    """Return the highest class id, -1 if all pixels are void or `ignore`."""
    counts = np.bincount(labels.ravel(), minlength=256)
    counts[[VOID] if ignore is None else [VOID, ignore]] = 0
    known = np.flatnonzero(counts)
    return int(known[-1]) if known.size else -1


def _check_labels(labels: NDArray[np.uint8], path: Path, image: Path, size: tuple[int, int], count: int) -> None:
    height, width = labels.shape
    if (width, height) != size:
        raise DataError(
            f"{path} is {width}x{height} pixels but {image} is {size[0]}x{size[1]}: save both with the same size"
        )
    if _highest_id(labels) >= count:
        raise DataError(
            f"{path} has class id {_highest_id(labels)} but there are {count} classes: "
            f"use ids 0 to {count - 1}, {VOID} for void, or complete classes.json"
        )


@register_format("masks")
def _open(location: str, task: str) -> DataSet:
    folder, comma, option = location.partition(",ignore=")
    if comma and not (option.isdigit() and int(option) <= VOID):
        raise DataError(f"data 'masks:{location}': ignore={option} is not a class id: give a number from 0 to {VOID}")
    return MaskFolder(open_folder("masks", folder, _LAYOUT), int(option) if comma else None)
