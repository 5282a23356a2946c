"""Panoptic annotations: for each image a PNG whose colours are segment ids, and the classes of segments in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.data.base import VOID, Instance
from workers.data.coco.json import Record, Table
from workers.data.coco.objects import Category, Images
from workers.data.files import decode_image, read_png_header, unreadable
from workers.data.panoptic_ids import rgb2id
from workers.errors import DataError

MAX_CLASSES = 255  # class ids are one byte, and VOID is one of its values
_MAX_THINGS = 999  # per image: an id is class * 1000 + number
_RGB = 2  # colour type in a PNG header


@dataclass(frozen=True, slots=True)
class PanopticMap:
    """The decoded PNG of one image, with the ids of Sample. missing: ids of segments that have no pixel."""

    semantic: NDArray[np.uint8]
    panoptic: NDArray[np.int32]
    crowds: frozenset[int]
    things: tuple[Instance, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of all images: image i has starts[i]:starts[i + 1].

    path: of the annotation file. folder: of the PNGs. names: of the PNGs, empty for an image without segments.
    """

    path: Path
    folder: Path
    names: tuple[str, ...]
    starts: NDArray[np.int64]
    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    things: NDArray[np.bool_]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.float64]

    def png(self, image: int) -> Path | None:
        """Return the PNG of an image, None if it has no segments."""
        return self.folder / self.names[image] if self.names[image] else None

    def read(self, image: int, width: int, height: int, masks: bool) -> PanopticMap:
        """Decode the PNG of one image of this size.

        masks: whether to return its things as instances. Raises DataError if the PNG does not match size or segments.
        """
        png = self.png(image)
        rows = slice(int(self.starts[image]), int(self.starts[image + 1]))
        if png is None:
            stored = np.zeros((height, width), dtype=np.int32)
        else:
            stored = _read_png(png)
            if stored.shape != (height, width):
                raise DataError(
                    f"{png} is {stored.shape[1]}x{stored.shape[0]} pixels but its image {width}x{height}: "
                    "save both with the same size"
                )
        return self._compose(stored, rows, png, masks)

    def _compose(self, stored: NDArray[np.int32], rows: slice, png: Path | None, masks: bool) -> PanopticMap:
        """Build the maps. stored: (H, W) segment ids. rows: the segments of the image."""
        # Replace each segment id by 0 for void and i + 1 for segment i of the image, run by run of equal ids.
        flat = stored.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        values, lengths = flat[starts], np.diff(starts, append=flat.size)
        order = np.argsort(self.ids[rows])
        known = np.concatenate([[0], self.ids[rows][order]])
        nearest = np.searchsorted(known, values).clip(max=known.size - 1)
        unknown = values[known[nearest] != values]
        if unknown.size:
            raise DataError(
                f"{png} has segment {int(unknown[0])}, which is missing from its segments_info in {self.path}: "
                "list it there or paint it void (0)"
            )
        position = np.concatenate([[0], order + 1])[nearest]
        pixels = np.bincount(position, weights=lengths, minlength=known.size)[1:]

        def paint(colours: NDArray[Any]) -> NDArray[Any]:
            return np.repeat(colours[position], lengths).reshape(stored.shape)

        classes, things = self.classes[rows], self.things[rows]
        visible = things & (pixels > 0)
        labels = classes * 1000 + np.where(visible, np.cumsum(visible), 0)
        masked = np.flatnonzero(visible).tolist() if masks else []
        return PanopticMap(
            paint(np.concatenate([[VOID], classes]).astype(np.uint8)),
            paint(np.concatenate([[-1], labels]).astype(np.int32)),
            frozenset(labels[self.crowds[rows] & (pixels > 0)].tolist()),
            tuple(self._instance(rows.start + i, paint(np.arange(known.size) == i + 1)) for i in masked),
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
    """Read the segments of all images. folder: the folder of the PNGs."""
    table = Table.from_content(path, content, "annotations", "annotation")
    table.unique_integers("image_id")
    positions = table.lookup("image_id", images.positions, "image")
    names = table.texts("file_name")
    remedy = "write 'segments_info' as a list of objects"
    lists = table.column(
        "segments_info", lambda v: type(v) is list and all(type(segment) is dict for segment in v), remedy
    )
    pngs = [""] * len(images.names)
    by_image: list[list[Record]] = [[]] * len(images.names)
    for position, name, segments in zip(positions.tolist(), names, lists, strict=True):
        pngs[position], by_image[position] = name, segments
    counts = np.array([len(segments) for segments in by_image], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    image_ids = np.array(list(images.positions), dtype=np.int64)[np.repeat(np.arange(counts.size), counts)]
    owners = [f"image {image}" for image in image_ids.tolist()]
    rows = Table(path, "segment", list(chain.from_iterable(by_image)), owners)
    ids = rows.column("id", lambda v: type(v) is int and 0 < v < 2**24, "use R + 256 G + 65536 B of its colour, not 0")
    pairs: set[tuple[int, int]] = set()
    for row, pair in enumerate(zip(image_ids.tolist(), ids, strict=True)):
        if pair in pairs:
            raise rows.error(row, "occurs twice", "give every segment of an image its own colour")
        pairs.add(pair)
    class_of = {category.id: position for position, category in enumerate(categories)}
    classes = rows.lookup("category_id", class_of, "category")
    things = np.array([category.thing for category in categories], dtype=np.bool_)[classes]
    thing_counts = np.add.reduceat(np.append(things, False).astype(np.int64), starts[:-1]) * (counts > 0)
    for position in np.flatnonzero(thing_counts > _MAX_THINGS):
        fault = f"{owners[int(starts[position])]} has {int(thing_counts[position])} things"
        raise DataError(f"{path}: {fault}: at most {_MAX_THINGS} are supported, split the image")
    crowds, areas = rows.flags("iscrowd"), rows.areas()
    return Segments(path, folder, tuple(pngs), starts, np.array(ids, dtype=np.int64), classes, things, crowds, areas)


def _read_png(path: Path) -> NDArray[np.int32]:
    """Read the (H, W) segment ids, which are R + 256 G + 65536 B."""
    try:
        if read_png_header(path) != (8, _RGB):
            raise DataError(f"{path} is not an 8-bit RGB PNG: save segment ids as colours, R + 256 G + 65536 B")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: add it, or remove its annotation") from error
    except OSError as error:
        raise unreadable(path) from error
    return rgb2id(decode_image(path, upright=False))
