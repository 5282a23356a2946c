"""Pascal VOC's layout of `masks:DIR`, which CVAT exports too: JPEGImages, SegmentationClass and lists in ImageSets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictor.plain_numbers import plain_int
from workers.data.base import VOID
from workers.data.files import decode_image, list_files, list_folders, require_folder
from workers.data.label_images import LABEL_SUFFIXES
from workers.data.mask_pairs import ImageWithLabels
from workers.data.masks import MaskFolder
from workers.data.subset_names import subset_of
from workers.errors import DataError

_IMAGES, _MASKS, _LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
_LAYOUT = f"{_IMAGES}/, {_MASKS}/ and {_LISTS}/{{train,val}}.txt"
_BORDER = (224, 224, 192)  # VOC's colour of pixels that have no class
Colour = tuple[int, int, int]


def is_voc(folder: Path) -> bool:
    """Return whether a folder has VOC's folder of masks."""
    return (folder / _MASKS).is_dir()


class VocFolder(MaskFolder):
    """Images with a class for every pixel. The lists in ImageSets/Segmentation name the images of each subset.

    With a `labelmap.txt`, as CVAT writes, the colours of the masks are classes in the order of its lines; otherwise
    masks are palette images that store class ids.
    """

    def _check_names(self) -> list[str]:
        listed = {image.stem for pairs in self._pairs.values() for image, _ in pairs}
        unlisted = [image for image in list_files(self._folder / _IMAGES) if image.stem not in listed]
        notes = [f"{len(unlisted)} images in no list of {_LISTS} (first: {unlisted[0].name})"] if unlisted else []
        return [f"{self._folder}: left out {note}" for note in notes]

    def _read(self, annotation: Path) -> NDArray[np.uint8]:
        if not self._colours:
            return super()._read(annotation)
        pixels = decode_image(annotation, upright=False).astype(np.uint32)
        codes = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
        values, where = np.unique(codes, return_inverse=True)
        ids = [self._class_of(int(code), annotation) for code in values]
        return np.array(ids, np.uint8)[where].reshape(codes.shape)

    def _class_of(self, code: int, annotation: Path) -> int:
        """Return the class id of a colour. Raises DataError if labelmap.txt does not have it."""
        colour = (code >> 16, code >> 8 & 255, code & 255)
        if colour in self._colours:
            return self._ids_by_colour[colour]
        if colour == _BORDER:
            return VOID
        raise DataError(f"{annotation} has the colour {colour}, which {self._label_map} does not have: add its class")

    @property
    def _label_map(self) -> Path:
        return self._folder / "labelmap.txt"

    @property
    def _meaning_files(self) -> list[Path]:
        return [self._label_map] if self._label_map.is_file() else []

    @cached_property
    def _colours(self) -> Mapping[Colour, str]:
        """The class of each colour in the order of their ids; none without labelmap.txt."""
        return _read_label_map(self._label_map) if self._meaning_files else {}

    @cached_property
    def _ids_by_colour(self) -> dict[Colour, int]:
        return {colour: number for number, colour in enumerate(self._colours)}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self._colours.values()) or super()._names

    @cached_property
    def _pairs(self) -> dict[str, list[ImageWithLabels]]:
        lists = self._lists
        if "train" not in lists or not lists.keys() - {"train"}:
            found = ", ".join(path.name for path in lists.values()) or "none"
            raise DataError(
                f"{self._folder / _LISTS} needs train.txt and val.txt with a name on each line; it has {found}: split "
                "the images there"
            )
        images = _by_stem(self._folder / _IMAGES, list_files(self._folder / _IMAGES))
        masks = _by_stem(self._folder / _MASKS, list_files(self._folder / _MASKS, LABEL_SUFFIXES))
        named = {subset: _read_list(path) for subset, path in lists.items()}
        held_out = [name for subset in ("val", "test") for name in named.get(subset, [])]
        if both := sorted(set(named["train"]) & set(held_out)):
            raise DataError(f"{lists['train']} and another list both name {both[0]}: an image has one subset")
        pairs = {"train": named["train"], "held-out": held_out}
        return {
            split: [
                (_find(images, name, self._folder / _IMAGES), _find(masks, name, self._folder / _MASKS))
                for name in names
            ]
            for split, names in pairs.items()
        }

    @cached_property
    def _lists(self) -> dict[str, Path]:
        """The list of each subset. A list of test counts if all of its images have masks."""
        folder = self._folder / _LISTS
        require_folder(folder, _LAYOUT)
        found: dict[str, Path] = {}
        for path in list_files(folder, (".txt",)):
            subset = subset_of(path.stem)
            if subset is None or (subset == "test" and not self._has_masks(path)):
                continue
            if subset in found:
                raise DataError(f"{found[subset]} and {path} may both list the {subset} images: remove one of them")
            found[subset] = path
        return found

    def _has_masks(self, path: Path) -> bool:
        masks = {mask.stem for mask in list_files(self._folder / _MASKS, LABEL_SUFFIXES)}
        return masks.issuperset(_read_list(path))


def _read_list(path: Path) -> list[str]:
    """Return the names in a list, without folders and suffixes of images. Raises DataError for an empty list."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable text file: write the name of an image on each line") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path} names no image: write the name of an image on each line")
    if len(set(names)) < len(names):
        raise DataError(f"{path} names {next(n for n in names if names.count(n) > 1)} twice: remove one of the lines")
    return names


def _by_stem(folder: Path, files: list[Path]) -> dict[str, Path]:
    """Return the files by name without suffix. Raises DataError if two have the same."""
    if not files and (inner := list_folders(folder)):
        raise DataError(f"{folder} has only folders ({inner[0].name}, ...): move the files up into it")
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in found:
            raise DataError(f"{path} and {found[path.stem].name} have the same name: remove one of them")
        found[path.stem] = path
    return found


def _find(files: Mapping[str, Path], name: str, folder: Path) -> Path:
    if name not in files:
        raise DataError(f"{folder} has no file named {name}, which a list in {_LISTS} names: add it or remove the line")
    return files[name]


def _read_label_map(path: Path) -> dict[Colour, str]:
    """Return the class of each colour from lines such as `road:128,64,128::`. Raises DataError."""
    remedy = "write NAME:RED,GREEN,BLUE:: on each line, with numbers from 0 to 255"
    colours: dict[Colour, str] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable text file: {remedy}") from error
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = rest.partition(":")[0].split(",")
        if not name.strip() or len(parts) != 3 or not all(p.strip().isascii() and p.strip().isdigit() for p in parts):
            raise DataError(f"{path}: '{line[:60]}' is not a class and its colour: {remedy}")
        try:
            red, green, blue = (plain_int(part.strip(), most=255) for part in parts)
        except ValueError:
            raise DataError(f"{path}: '{line[:60]}' has a number above 255: {remedy}") from None
        if (red, green, blue) in colours or name in colours.values():
            raise DataError(f"{path}: '{line[:60]}' repeats a class or a colour: give each class one colour")
        colours[red, green, blue] = name
    if not 1 <= len(colours) <= VOID:
        raise DataError(f"{path} has {len(colours)} classes: {remedy}")
    return colours
