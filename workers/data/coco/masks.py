"""Segmentations of a COCO file, polygons or run lengths: validated, stored compactly, drawn on demand.

pycocotools converts polygons to run lengths. Its memory grows with the length of edges, and it reads beyond the end of
an invalid run-length text, so all input is validated first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from workers.data.coco.json import Table, to_floats

Mask = NDArray[np.bool_]
_POLYGON_REMEDY = "write a list of polygons [x, y, x, y, ...] of three points or more, or run lengths"
_RUNS_REMEDY = "write run lengths as pycocotools.mask encodes them"


@dataclass(frozen=True, slots=True)
class Segmentations:
    """The segmentations of all objects of a file, each as polygons or as run lengths, or missing (crowds only).

    Object i has the polygons starts[i]:starts[i + 1], and polygon p the coordinates points[bounds[p]:bounds[p + 1]].
    Objects without polygons are in run_rows, in ascending order: the compressed run lengths of the i-th of them end at
    run_ends[i] of run_codes.
    """

    starts: NDArray[np.int64]
    bounds: NDArray[np.int64]
    points: NDArray[np.float64]
    run_rows: NDArray[np.int64]
    run_ends: NDArray[np.int64]
    run_codes: NDArray[np.uint8]

    def draw(self, row: int, width: int, height: int) -> Mask | None:
        """Draw the (H, W) mask of one object; return None if it has no segmentation."""
        code = self._runs(row)
        if code is None:
            start, end = int(self.starts[row]), int(self.starts[row + 1])
            if start == end:
                return None
            polygons = [self.points[self.bounds[p] : self.bounds[p + 1]].tolist() for p in range(start, end)]
            code = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))["counts"]
        lengths = _decode_lengths(code)
        assert lengths is not None
        by_column = np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(width, height)
        mask: Mask = np.zeros((height, width), dtype=np.bool_)
        # Runs go down the columns. Only the box of the object is transposed, so the time depends on its size.
        x, y, w, h = (int(side) for side in coco_mask.toBbox({"size": [height, width], "counts": code}))
        mask[y : y + h, x : x + w] = by_column[x : x + w, y : y + h].T
        return mask

    def find_blank(self, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which objects have a segmentation without a pixel. sizes: (n, 2) width and height of their images.

        Only polygons that are thin or outside their image are drawn.
        """
        suspects = set(self._small_polygons(sizes).tolist())
        blank = np.zeros(len(self.starts) - 1, dtype=np.bool_)
        for row in suspects:
            mask = self.draw(row, int(sizes[row, 0]), int(sizes[row, 1]))
            blank[row] = mask is not None and not mask.any()
        for row in self.run_rows.tolist():
            code = {"size": sizes[row, ::-1].tolist(), "counts": self._runs(row)}
            blank[row] = not int(coco_mask.area(code))
        return blank

    def _small_polygons(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the objects whose polygons are all outside the image, tiny, or on average thinner than a pixel."""
        counts = np.diff(self.starts)
        rows = np.flatnonzero(counts)
        if not rows.size:
            return rows
        starts, polygons = self.bounds[:-1] // 2, np.repeat(np.arange(counts.size), counts)
        corners = self.points.reshape(-1, 2)
        following = np.roll(corners, -1, axis=0)
        following[self.bounds[1:] // 2 - 1] = corners[starts]  # the last corner of a polygon is joined to its first
        crosses = corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]
        areas = np.abs(np.add.reduceat(crosses, starts)) / 2
        lowest, highest = np.minimum.reduceat(corners, starts), np.maximum.reduceat(corners, starts)
        outside = ((highest <= 0.5) | (lowest >= sizes[polygons] - 0.5)).any(1)
        thick = areas >= np.maximum(2, (highest - lowest).max(1))
        visible = np.add.reduceat(thick & ~outside, self.starts[rows])
        small: NDArray[np.int64] = rows[visible == 0]
        return small

    def _runs(self, row: int) -> bytes | None:
        place = int(np.searchsorted(self.run_rows, row))
        if place == len(self.run_rows) or self.run_rows[place] != row:
            return None
        return self.run_codes[self.run_ends[place - 1] if place else 0 : self.run_ends[place]].tobytes()


def read_segmentations(
    table: Table, crowds: NDArray[np.bool_], sizes: NDArray[np.int64], missing_remedy: str
) -> Segmentations:
    """Read the segmentations of all records.

    crowds: which objects are crowds; only they may have no segmentation. sizes: (records, 2) width and height of their
    images. missing_remedy: the remedy in the error for another object without a segmentation.
    """
    counts = np.zeros(len(table.records), dtype=np.int64)
    polygons: list[list[Any]] = []
    runs: dict[int, bytes] = {}
    for row, record in enumerate(table.records):
        segmentation = record.get("segmentation")
        if segmentation is None or segmentation == []:
            if not crowds[row]:
                raise table.error(row, "has no segmentation", missing_remedy)
        elif type(segmentation) is list:
            _check_polygons(table, row, segmentation)
            polygons += segmentation
            counts[row] = len(segmentation)
        elif type(segmentation) is dict:
            runs[row] = _read_runs(table, row, segmentation, int(sizes[row, 0]), int(sizes[row, 1]))
        else:
            raise table.error(row, "has an invalid segmentation", _POLYGON_REMEDY)
    return _build(table, counts, polygons, runs, sizes)


def _check_polygons(table: Table, row: int, polygons: list[Any]) -> None:
    for polygon in polygons:
        if type(polygon) is not list:
            raise table.error(row, "has a segmentation that is not a list of polygons", _POLYGON_REMEDY)
        if len(polygon) < 6 or len(polygon) % 2:
            raise table.error(row, f"has a polygon of {len(polygon)} coordinates", _POLYGON_REMEDY)


def _build(
    table: Table,
    counts: NDArray[np.int64],
    polygons: list[list[Any]],
    runs: dict[int, bytes],
    sizes: NDArray[np.int64],
) -> Segmentations:
    """Validate the coordinates of all polygons and put them into one array. counts: polygons of each record."""
    owners = np.repeat(np.arange(len(counts)), counts)
    points = to_floats(list(chain.from_iterable(polygons)))
    if points is None:
        invalid = next(p for p, polygon in enumerate(polygons) if to_floats(polygon) is None)
        raise table.error(
            int(owners[invalid]), "has a polygon with a coordinate that is not a finite number", _POLYGON_REMEDY
        )
    bounds = np.array([0, *accumulate(map(len, polygons))], dtype=np.int64)
    if polygons:
        longer_sides = sizes.max(1)[owners]
        lowest, highest = (extreme.reduceat(points, bounds[:-1]) for extreme in (np.minimum, np.maximum))
        for owner in owners[(lowest < -longer_sides) | (highest > 2 * longer_sides)]:
            remedy = "give coordinates in pixels of this image"
            raise table.error(int(owner), "has a polygon far outside its image", remedy)
    return Segmentations(
        np.concatenate([[0], np.cumsum(counts)]),
        bounds,
        points,
        np.array(sorted(runs), dtype=np.int64),
        np.cumsum([len(runs[row]) for row in sorted(runs)], dtype=np.int64),
        np.frombuffer(b"".join(runs[row] for row in sorted(runs)), dtype=np.uint8),
    )


def _read_runs(table: Table, row: int, runs: dict[str, Any], width: int, height: int) -> bytes:
    """Return run lengths as compressed text; the file has them as such text or as a list."""
    size, counts = runs.get("size"), runs.get("counts")
    if type(size) is not list or len(size) != 2 or any(type(side) is not int for side in size):
        raise table.error(row, "has run lengths without a valid 'size'", "write [height, width] of its image")
    if size != [height, width]:
        remedy = f"write size [{height}, {width}] and run lengths for it"
        raise table.error(row, "has run lengths of a different size than its image", remedy)
    if type(counts) is str and counts.isascii():
        code = counts.encode("ascii")
        lengths = _decode_lengths(code)
    else:
        code, lengths = b"", _list_lengths(counts)
    if lengths is None or bool((lengths < 0).any()) or int(lengths.sum()) != width * height:
        raise table.error(row, "has invalid run lengths", _RUNS_REMEDY)
    if not code:
        code = coco_mask.frPyObjects({"size": size, "counts": lengths.tolist()}, height, width)["counts"]
    return code


def _list_lengths(counts: Any) -> NDArray[np.int64] | None:
    if type(counts) is not list or not set(map(type, counts)) <= {int}:
        return None
    valid = bool(counts) and min(counts) >= 0 and max(counts) < 2**32 and len(counts) < 2**31
    return np.array(counts, dtype=np.int64) if valid else None


def _decode_lengths(code: bytes) -> NDArray[np.int64] | None:
    """Decode COCO's run-length text; return None if it is invalid or its last number is incomplete.

    Each letter has five bits of a number, and a sixth bit if more letters follow. From the third number on, the numbers
    are differences from the number two positions before.
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
