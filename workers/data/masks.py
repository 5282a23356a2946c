"""`masks:DIR[,ignore=ID][,foreground=ID]`: images/{subset}/* and label images of these names in annotations/{subset}.

Subsets are train, val and test. The first two may also be called training, valid and validation. In ADE20K class id 0
means unknown: `masks:ADEChallengeData2016,ignore=0`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.data.array_files import ArrayFiles, index_folder, read_arrays, write_arrays
from workers.data.base import VOID, DataSet, DataWarning, Sample, unsupported
from workers.data.deep_images import bits_in_use, with_reading
from workers.data.files import (
    ImageHeader,
    decode_image,
    hash_files,
    list_files,
    read_header,
    require_folder,
    verify_image,
)
from workers.data.label_images import LABEL_SUFFIXES, is_turned, known_ids, occurring_ids, read_labels
from workers.data.mask_pairs import KINDS, ImageWithLabels, check_names, find_mask_folder, list_pairs
from workers.data.orientation import turn_pixels
from workers.errors import BadDataFailure, DataError

LAYOUT = "images/{train,val}/*.jpg|png and annotations/{train,val}/*.png"
_INDEXED_ANNOTATIONS = 1000  # fewer are decoded in little time
_FOREGROUNDS = (127, 128, 254, 255)  # how programs store "yes" where 0 is "no"
_GAP = 10  # class ids in a row that do not occur: they are probably no class ids


class MaskFolder(DataSet):
    """Images with a class id for every pixel.

    The split `held-out` consists of the subset val, and of test if it has annotations. If the only values are 0 and a
    typical value of masks, such as 255, that value is class 1.
    """

    def __init__(self, folder: Path, ignore: int | None = None, foreground: int | None = None) -> None:
        """Open the folder.

        ignore: a class id that means unknown, in addition to VOID. Its class remains in the list of classes, but its
        pixels are ignored in training and evaluation. foreground: the value of class 1; all others but VOID and
        `ignore` are class 0.
        """
        self.spec, self._folder, self._ignore, self._given = f"masks:{folder}", folder, ignore, foreground
        if ignore is not None:
            self.spec += f",ignore={ignore}"
        if foreground is not None:
            self.spec += f",foreground={foreground}"

    def check(self, task: str) -> None:
        """Read every annotation and every image; both splits must have what the evaluation needs."""
        self._require_seg(task)
        require_folder(self._folder, LAYOUT)
        splits = self._pairs
        notes = self._check_names()
        count = len(self.classes(task))
        ids = {split: self._check_pairs(pairs, count) for split, pairs in splits.items()}
        notes += self._check_ids(ids, count)
        if notes:
            warnings.warn("; ".join(notes), DataWarning, stacklevel=2)

    def _check_names(self) -> list[str]:
        """Raise DataError if an image or an annotation has no partner; return what is left out."""
        return [note for folders in self._subset_folders for note in check_names(*folders)]

    def _check_pairs(self, pairs: list[ImageWithLabels], count: int) -> frozenset[int]:
        """Check images and annotations; return the class ids that occur, VOID too. count: number of classes."""
        ids = frozenset[int]()
        for image, annotation in pairs:
            header = verify_image(image)
            labels = self._labels(annotation, header)
            _check_labels(labels, annotation, image, header.size, count)
            ids |= occurring_ids(labels)
        return ids

    def _check_ids(self, ids: dict[str, frozenset[int]], count: int) -> list[str]:
        """Raise DataError if the classes of a split cannot be learned or measured; return what is unusual."""
        folder, train, held_out = self._annotations_of_train, ids["train"] - {VOID}, ids["held-out"] - {VOID}
        if len(train) < 2:
            only = f"one class only ({', '.join(map(str, sorted(train)))})" if train else "no class"
            void = f" ({VOID} means unknown: if it is an object, write masks:DIR,foreground={VOID})"
            remedy = f"add annotations of a second class{void if VOID in ids['train'] else ''}"
            raise DataError(f"{folder} has pixels of {only}: {remedy}")
        if not held_out:
            raise DataError(f"the held-out annotations of {self._folder} label every pixel as void: add class ids")
        notes = []
        if self._given is None and self._foreground is not None:
            value = self._foreground
            notes.append(
                f"{folder}: the only values are 0 and {value}, so {value} is class 1 (else add ,ignore={value})"
            )
        occurring = sorted(train | held_out)
        gaps = [(a, b) for a, b in zip([-1, *occurring], [*occurring, count], strict=False) if b - a > _GAP]
        if gaps and not self._names_file.exists():
            a, b = gaps[0]
            notes.append(
                f"{folder}: no pixel has a value between {max(a, 0)} and {b}, and {count - len(occurring)} of {count} "
                "classes do not occur: renumber them, or use ,ignore=ID or ,foreground=ID"
            )
        if unseen := sorted(held_out - train):
            notes.append(f"{folder}: {len(unseen)} held-out classes are not in train (first: class {unseen[0]})")
        return notes

    def classes(self, task: str) -> tuple[str, ...]:
        """Return the names in classes.json, or else `class 0` to the highest id that occurs."""
        self._require_seg(task)
        return self._classes

    def fingerprint(self) -> str:
        """Return the hash of images, annotations and classes.json, and of how they are read if not in the usual way."""
        files = [file for pairs in self._pairs.values() for pair in pairs for file in pair]
        files += [file for file in (self._names_file, *self._meaning_files) if file.exists()]
        content = hash_files(self._folder, files)
        if self._ignore is not None:
            content = hashlib.sha256(f"{content} ignore {self._ignore}".encode()).hexdigest()[:16]
        if self._foreground is not None:
            content = hashlib.sha256(f"{content} foreground {self._foreground}".encode()).hexdigest()[:16]
        if any(is_turned(annotation) for pairs in self._pairs.values() for _, annotation in pairs):
            content = hashlib.sha256(f"{content} turned annotations".encode()).hexdigest()[:16]
        return with_reading(content, self._images, self._bits)

    def size(self, split: str) -> int:
        """Return the number of images."""
        return len(self._pairs[split])

    def sample(self, split: str, index: int) -> Sample:
        """Return an image and its class ids. Raises BadDataFailure for a file that changed after the check."""
        self.require_index(split, index)
        image, annotation = self._pairs[split][index]
        try:
            pixels, labels = decode_image(image, bits=self._bits), self._labels(annotation, read_header(image))
            size = pixels.shape[1], pixels.shape[0]
            _check_labels(labels, annotation, image, size, len(self._classes))
        except DataError as error:
            raise BadDataFailure(str(error)) from error
        return Sample(pixels, semantic=labels)

    def _labels(self, annotation: Path, image: ImageHeader) -> NDArray[np.uint8]:
        """Return the class ids of an image; ids of the stored pixels are turned upright with it."""
        labels = self._read(annotation)
        if (labels.shape[1], labels.shape[0]) == image.stored != image.size:
            labels = turn_pixels(labels, image.orientation)
        if self._foreground is not None:
            meaning = np.zeros(256, dtype=np.uint8)
            meaning[[VOID, VOID if self._ignore is None else self._ignore]] = VOID
            meaning[self._foreground] = 1
            return meaning[labels]
        if self._ignore is not None:
            labels[labels == self._ignore] = VOID
        return labels

    def _read(self, annotation: Path) -> NDArray[np.uint8]:
        """Return the class ids of the stored pixels."""
        return read_labels(annotation)

    @property
    def _names_file(self) -> Path:
        return self._folder / "classes.json"

    @property
    def _meaning_files(self) -> list[Path]:
        """Files that say which stored values are which classes."""
        return []

    @property
    def _images(self) -> list[Path]:
        return [image for pairs in self._pairs.values() for image, _ in pairs]

    @property
    def _annotations_of_train(self) -> Path:
        return self._pairs["train"][0][1].parent

    @cached_property
    def _bits(self) -> int:
        return bits_in_use(self._images)

    def _require_seg(self, task: str) -> None:
        if task != "seg":
            raise unsupported(self.spec, task, "masks supports seg; choose that task or another data set")

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The names in classes.json, none if there is no such file."""
        return _read_names(self._names_file) if self._names_file.exists() else ()

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        if self._names:
            return self._names
        if self._foreground is not None:
            return "class 0", "class 1"
        known = known_ids(self._ids, self._ignore)
        if not known:
            raise DataError(f"{self._folder / 'annotations'} labels every pixel as void ({VOID}): add class ids")
        return tuple(f"class {i}" for i in range(max(known) + 1))

    @cached_property
    def _foreground(self) -> int | None:
        """The value of class 1 in masks of two values; None if class ids are stored."""
        if self._given is not None or len(self._names) not in (0, 2):
            return self._given
        values = sorted(self._ids - {self._ignore})
        return values[1] if len(values) == 2 and values[0] == 0 and values[1] in _FOREGROUNDS else None

    @cached_property
    def _ids(self) -> frozenset[int]:
        """The values of all annotations, which one process of a machine decodes for all others."""
        annotations = [annotation for pairs in self._pairs.values() for _, annotation in pairs]
        try:
            sizes = ",".join(str(path.stat().st_size) for path in [*annotations, *self._meaning_files])
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: restore it or check its permissions") from error
        folders = sorted({annotation.parent for annotation in annotations})
        index = index_folder(folders, f"values of annotations, sizes {hashlib.sha256(sizes.encode()).hexdigest()}")
        if (known := read_arrays(index)) is not None:
            return frozenset(known.facts["ids"])
        ids = frozenset[int]().union(*(occurring_ids(self._read(annotation)) for annotation in annotations))
        if len(annotations) >= _INDEXED_ANNOTATIONS:
            write_arrays(index, ArrayFiles({}, {"ids": sorted(ids)}))
        return ids

    @cached_property
    def _pairs(self) -> dict[str, list[ImageWithLabels]]:
        train, *held_out = self._subset_folders
        if not held_out:
            raise DataError(
                f"{self._folder / 'images' / 'val'} does not exist, and there is no test folder with annotations: "
                "hold out some images there"
            )
        return {
            "train": list_pairs(*train, "train"),
            "held-out": [pair for folders in held_out for pair in list_pairs(*folders, folders[0].name)],
        }

    @cached_property
    def _subset_folders(self) -> list[tuple[Path, Path]]:
        """The folders of images and annotations of train, then those of val and test that are used."""
        used = []
        for subset in ("train", "val", "test"):
            images, annotations = (find_mask_folder(self._folder, kind, subset) for kind in KINDS)
            if subset == "test" and not (annotations.is_dir() and list_files(annotations, LABEL_SUFFIXES)):
                continue
            if subset == "train" or images.exists() or annotations.exists():
                used.append((images, annotations))
        return used


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


def _check_labels(labels: NDArray[np.uint8], path: Path, image: Path, size: tuple[int, int], count: int) -> None:
    height, width = labels.shape
    if (width, height) != size:
        raise DataError(
            f"{path} is {width}x{height} pixels but {image} is {size[0]}x{size[1]}: save both with the same size"
        )
    highest = max(occurring_ids(labels) - {VOID}, default=-1)
    if highest >= count:
        raise DataError(
            f"{path} has class id {highest} but there are {count} classes: "
            f"use ids 0 to {count - 1}, {VOID} for void, or complete classes.json"
        )
