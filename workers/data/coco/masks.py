"""Segmentations of a COCO file, polygons or run lengths: validated, kept compact, drawn when asked for.

pycocotools turns polygons into run lengths. It takes memory for every pixel that an edge is long, and reads beyond the
end of a broken run-length text, so nothing reaches it untested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pixels

from workers.data.coco.json import Table, to_floats

Mask = NDArray[np.bool_]
_OUTLINE = "write a list of polygons [x, y, x, y, ...] of three points or more, or run lengths"
_RUNS = "write run lengths as pycocotools.mask encodes them"


@dataclass(frozen=True, slots=True)
class Outlines:
    """Polygons of object i are first[i]:first[i + 1], their coordinates points[bounds[p]:bounds[p + 1]].

    runs: run lengths, compressed, of those that have no polygons. An object may have neither.
    """

    first: NDArray[np.int64]
    bounds: NDArray[np.int64]
    points: NDArray[np.float64]
    runs: dict[int, bytes]

    def draw(self, row: int, width: int, height: int) -> Mask | None:
        """(H, W) mask of one object; None if it has no segmentation."""
        code = self.runs.get(row)
        if code is None:
            start, end = int(self.first[row]), int(self.first[row + 1])
            if start == end:
                return None
            polygons = [self.points[self.bounds[p] : self.bounds[p + 1]].tolist() for p in range(start, end)]
            code = pixels.merge(pixels.frPyObjects(polygons, height, width))["counts"]
        lengths = _decode_lengths(code)
        assert lengths is not None
        mask: Mask = np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(width, height).T
        return mask


def read_outlines(table: Table, crowds: NDArray[np.bool_], sizes: NDArray[np.int64], without: str) -> Outlines:
    """Segmentations of all records. sizes: (records, 2) width, height of their images.

    Only crowds may lack one; `without` is the remedy where another does.
    """
    counts = np.zeros(len(table.records), dtype=np.int64)
    polygons: list[list[Any]] = []
    runs: dict[int, bytes] = {}
    for row, record in enumerate(table.records):
        outline = record.get("segmentation")
        if outline is None or outline == []:
            if not crowds[row]:
                raise table.error(row, "has no segmentation", without)
        elif type(outline) is list:
            _check_polygons(table, row, outline)
            polygons += outline
            counts[row] = len(outline)
        elif type(outline) is dict:
            runs[row] = _read_runs(table, row, outline, int(sizes[row, 0]), int(sizes[row, 1]))
        else:
            raise table.error(row, "has an invalid segmentation", _OUTLINE)
    return _join(table, counts, polygons, runs, sizes)


def _check_polygons(table: Table, row: int, outline: list[Any]) -> None:
    for polygon in outline:
        if type(polygon) is not list:
            raise table.error(row, "has a segmentation that is no list of polygons", _OUTLINE)
        if len(polygon) < 6 or len(polygon) % 2:
            raise table.error(row, f"has a polygon of {len(polygon)} coordinates", _OUTLINE)


def _join(
    table: Table,
    counts: NDArray[np.int64],
    polygons: list[list[Any]],
    runs: dict[int, bytes],
    sizes: NDArray[np.int64],
) -> Outlines:
    owners = np.repeat(np.arange(len(counts)), counts)
    points = to_floats(list(chain.from_iterable(polygons)))
    if points is None:
        bad = next(p for p, polygon in enumerate(polygons) if to_floats(polygon) is None)
        raise table.error(int(owners[bad]), "has a polygon with a coordinate that is no finite number", _OUTLINE)
    bounds = np.array([0, *accumulate(map(len, polygons))], dtype=np.int64)
    if polygons:
        room = sizes.max(1)[owners]
        far = (np.minimum.reduceat(points, bounds[:-1]) < -room) | (np.maximum.reduceat(points, bounds[:-1]) > 2 * room)
        for owner in owners[far]:
            remedy = "give coordinates in pixels of this image"
            raise table.error(int(owner), "has a polygon that lies far outside its image", remedy)
    return Outlines(np.concatenate([[0], np.cumsum(counts)]), bounds, points, runs)


def _read_runs(table: Table, row: int, outline: dict[str, Any], width: int, height: int) -> bytes:
    """Run lengths as compressed text, whichever way they are written."""
    size, counts = outline.get("size"), outline.get("counts")
    if type(size) is not list or len(size) != 2 or any(type(side) is not int for side in size):
        raise table.error(row, "has run lengths without a valid 'size'", "write [height, width] of its image")
    if size != [height, width]:
        remedy = f"write size [{height}, {width}] and run lengths for it"
        raise table.error(row, "has run lengths of another size than its image", remedy)
    if type(counts) is str and counts.isascii():
        code = counts.encode("ascii")
        lengths = _decode_lengths(code)
    else:
        code, lengths = b"", _plain_lengths(counts)
    if lengths is None or bool((lengths < 0).any()) or int(lengths.sum()) != width * height:
        raise table.error(row, "has invalid run lengths", _RUNS)
    if not code:
        code = pixels.frPyObjects({"size": size, "counts": lengths.tolist()}, height, width)["counts"]
    return code


def _plain_lengths(counts: Any) -> NDArray[np.int64] | None:
    if type(counts) is not list or not set(map(type, counts)) <= {int}:
        return None
    return np.array(counts, dtype=np.int64) if _fit(counts) else None


def _fit(counts: Sequence[int]) -> bool:
    return bool(counts) and min(counts) >= 0 and max(counts) < 2**32 and len(counts) < 2**31


def _decode_lengths(code: bytes) -> NDArray[np.int64] | None:
    """The lengths behind COCO's text: five bits a letter, the sixth says that more follow, differences from the third.

    None where a letter is none of those or the last number is cut off.
    """
    letters = np.frombuffer(code, dtype=np.uint8).astype(np.int64) - 48
    if letters.size == 0 or letters.min() < 0 or letters.max() > 63 or letters[-1] & 32:
        return None
    ends = np.flatnonzero((letters & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    widths = ends - starts + 1
    if widths.max() > 7:  # a length of 32 bits and its sign take seven letters
        return None
    shifts = 5 * (np.arange(letters.size) - np.repeat(starts, widths))
    lengths: NDArray[np.int64] = np.add.reduceat((letters & 31) << shifts, starts)
    lengths -= np.where(letters[ends] & 16, np.int64(1) << (5 * widths), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths
