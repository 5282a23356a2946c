"""Panoptic annotations: a PNG an image whose colours are segment ids, and the segments' classes in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.data.base import VOID, Instance
from workers.data.coco.json import Record, Table
from workers.data.coco.objects import Category, Images
from workers.data.files import BROKEN, read_png_header, unreadable, verify_image
from workers.data.panoptic_ids import rgb2id
from workers.errors import DataError

MAX_CLASSES = 255  # ids of one byte, less VOID
_MAX_THINGS = 999  # numbers that an id of class * 1000 + number has room for
_RGB = 2  # colour type in the header of a PNG


@dataclass(frozen=True, slots=True)
class PanopticMap:
    """What the PNG of one image says, in the ids of Sample. lost: segments of the JSON file without a pixel."""

    semantic: NDArray[np.uint8]
    panoptic: NDArray[np.int32]
    crowds: frozenset[int]
    things: tuple[Instance, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments sorted by image: those of image i are first[i]:first[i + 1]. pngs: None for an image without any."""

    path: Path
    pngs: tuple[Path | None, ...]
    first: NDArray[np.int64]
    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    things: NDArray[np.bool_]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.float64]

    def read(self, image: int, width: int, height: int, masks: bool) -> PanopticMap:
        """Decode one image's PNG; masks: with its things as instances. Raises DataError if it does not fit."""
        png = self.pngs[image]
        rows = slice(int(self.first[image]), int(self.first[image + 1]))
        if png is None:
            stored = np.zeros((height, width), dtype=np.int64)
        else:
            stored = _read_png(png)
            if stored.shape != (height, width):
                raise DataError(
                    f"{png} is {stored.shape[1]}x{stored.shape[0]} pixels but its image {width}x{height}: "
                    "save both with the same size"
                )
        return self._compose(stored, rows, png, masks)

    def _compose(self, stored: NDArray[np.int64], rows: slice, png: Path | None, masks: bool) -> PanopticMap:
        # A position behind every colour: 0 is void, i + 1 is segment i.
        order = np.argsort(self.ids[rows])
        known = np.concatenate([[0], self.ids[rows][order]])
        found = np.searchsorted(known, stored).clip(max=known.size - 1)
        strange = stored[known[found] != stored]
        if strange.size:
            raise DataError(
                f"{png} has segment {int(strange[0])}, which its segments_info in {self.path} lacks: "
                "list it there or paint it void (0)"
            )
        position = np.concatenate([[0], order + 1])[found]
        pixels = np.bincount(position.ravel(), minlength=known.size)[1:]
        classes, things = self.classes[rows], self.things[rows]
        visible = things & (pixels > 0)
        labels = classes * 1000 + np.where(visible, np.cumsum(visible), 0)
        return PanopticMap(
            np.concatenate([[VOID], classes]).astype(np.uint8)[position],
            np.concatenate([[-1], labels]).astype(np.int32)[position],
            frozenset(labels[self.crowds[rows] & (pixels > 0)].tolist()),
            tuple(self._instance(rows.start + int(i), position == i + 1) for i in np.flatnonzero(visible))
            if masks
            else (),
            tuple(self.ids[rows][pixels == 0].tolist()),
        )

    def _instance(self, row: int, mask: NDArray[np.bool_]) -> Instance:
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))
        area = None if np.isnan(self.areas[row]) else float(self.areas[row])
        return Instance(int(self.classes[row]), mask, box, crowd=bool(self.crowds[row]), area=area)


def read_segments(
    path: Path, content: Record, folder: Path, images: Images, categories: Sequence[Category]
) -> Segments:
    """The segments of all images; their PNGs lie in `folder`."""
    table = Table.of(path, content, "annotations", "annotation")
    table.distinct("image_id")
    here = table.places("image_id", images.places, "image")
    names = table.texts("file_name")
    remedy = "write 'segments_info' as a list of objects"
    lists = table.column("segments_info", lambda v: type(v) is list and all(type(one) is dict for one in v), remedy)
    pngs: list[Path | None] = [None] * len(images.names)
    owners: list[list[Record]] = [[]] * len(images.names)
    for place, name, segments in zip(here.tolist(), names, lists, strict=True):
        pngs[place], owners[place] = folder / name, segments
    counts = np.array([len(segments) for segments in owners], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    owner_ids = np.array(list(images.places), dtype=np.int64)[np.repeat(np.arange(counts.size), counts)]
    labels = [f"image {image}" for image in owner_ids.tolist()]
    rows = Table(path, "segment", list(chain.from_iterable(owners)), labels)
    ids = rows.column("id", lambda v: type(v) is int and 0 < v < 2**24, "use R + 256 G + 65536 B of its colour, not 0")
    pairs: set[tuple[int, int]] = set()
    for row, pair in enumerate(zip(owner_ids.tolist(), ids, strict=True)):
        if pair in pairs:
            raise rows.error(row, "occurs twice", "give every segment of an image its own colour")
        pairs.add(pair)
    classes = rows.places("category_id", {one.id: place for place, one in enumerate(categories)}, "category")
    things = np.array([one.thing for one in categories], dtype=np.bool_)[classes]
    many = np.add.reduceat(np.append(things, False).astype(np.int64), first[:-1]) * (counts > 0)
    for place in np.flatnonzero(many > _MAX_THINGS):
        raise DataError(
            f"{path}: {labels[int(first[place])]} has {int(many[place])} things: {_MAX_THINGS} are the most, cut it"
        )
    crowds, areas = rows.flags("iscrowd"), rows.areas()
    return Segments(path, tuple(pngs), first, np.array(ids, dtype=np.int64), classes, things, crowds, areas)


def _read_png(path: Path) -> NDArray[np.int64]:
    """Segment ids: R + 256 G + 65536 B."""
    try:
        if read_png_header(path) != (8, _RGB):
            raise DataError(f"{path} is no PNG of 8-bit RGB: save segment ids as colours, R + 256 G + 65536 B")
        verify_image(path)  # Pillow would decode what lacks only its last bytes
        with Image.open(path, formats=["PNG"]) as image:
            colours = np.array(image.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: add it, or remove its annotation") from error
    except BROKEN as error:
        raise unreadable(path) from error
    return rgb2id(colours).astype(np.int64)
