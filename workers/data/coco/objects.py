"""Categories, images and objects of a COCO file, as arrays. Pixels are left alone; only boxes are clipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.data.coco.json import Record, Table, is_text, to_floats
from workers.data.coco.masks import Outlines, read_outlines
from workers.errors import DataError

_MAX_SIDE = 65535  # the longest that JPEG has; pycocotools counts pixels in 32 bits
_SLACK = 1e-6  # a box of one pixel, despite rounding
_FAR = 1e6
_FACE = {"nose": 0.026} | {f"{side}_eye": 0.025 for side in ("left", "right")}
_LIMBS = {"ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089}
_SIGMAS = _FACE | {f"{side}_{joint}": sigma for joint, sigma in _LIMBS.items() for side in ("left", "right")}


@dataclass(frozen=True, slots=True)
class Category:
    """One class, under the id it has in the file."""

    id: int
    name: str
    thing: bool = True
    joints: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Images:
    """Images in the order of the file. sizes: (images, 2) width, height. places: position of every id."""

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    places: dict[int, int]


@dataclass(frozen=True, slots=True)
class Drops:
    """Annotations left out because nothing is to be seen of them."""

    path: Path
    count: int
    what: str  # such as 'boxes without area'
    first: str

    def __str__(self) -> str:
        return f"{self.path}: dropped {self.count} {self.what} (first: {self.first})"


@dataclass(frozen=True, slots=True)
class Objects:
    """Annotated objects, sorted by image: those of image i are first[i]:first[i + 1]. areas: NaN if not given."""

    first: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.float64]
    joints: NDArray[np.float32] | None = None
    outlines: Outlines | None = None

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The images that objects belong to."""
        return np.searchsorted(self.first, rows, side="right") - 1

    def people(self) -> NDArray[np.int64]:
        """Those with a labelled joint; crowds are nobody."""
        assert self.joints is not None
        return np.flatnonzero((self.joints[:, :, 2] > 0).any(1) & ~self.crowds)


def read_categories(path: Path, content: Record, task: str) -> tuple[Category, ...]:
    """Classes in the order of their ids: all, things first, or for pose the first category that has joints."""
    table = Table.of(path, content, "categories", "category")
    if not table.records:
        raise DataError(f"{path} has no categories: list at least one")
    ids, names = table.distinct("id"), table.texts("name")
    for row, name in enumerate(names):
        if name in names[:row]:
            raise table.error(row, "has the name of another one", "rename one of them")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    if task == "pose":
        able = [row for row in order if table.records[row].get("keypoints") is not None]
        if not able:
            raise DataError(f"{path} has no category with 'keypoints': list the names of its joints there")
        row, joints = able[0], _read_joints(table, able[0])
        return (Category(ids[row], names[row], True, joints, _read_sigmas(table, row, joints)),)
    if task in ("det", "iseg"):
        return tuple(Category(ids[row], names[row]) for row in order)
    things = table.flags("isthing", None)
    return tuple(
        Category(ids[row], names[row], bool(things[row])) for row in sorted(order, key=lambda r: not things[r])
    )


def _read_joints(table: Table, row: int) -> tuple[str, ...]:
    joints = table.records[row]["keypoints"]
    if type(joints) is not list or not joints or not all(map(is_text, joints)) or len(set(joints)) < len(joints):
        raise table.error(row, "has invalid 'keypoints'", "write a list of the different names of its joints")
    return tuple(joints)


def _read_sigmas(table: Table, row: int, joints: tuple[str, ...]) -> tuple[float, ...]:
    """Those of the file, or else the official ones where the joints are COCO's."""
    record = table.records[row]
    for key in ("sigmas", "keypoint_sigmas"):
        given = record.get(key)
        if given is not None:
            sigmas = to_floats(given) if type(given) is list and len(given) == len(joints) else None
            if sigmas is None or not bool((sigmas > 0).all()):
                raise table.error(row, f"has invalid '{key}'", f"write {len(joints)} positive numbers, one a joint")
            return tuple(sigmas.tolist())
    return tuple(_SIGMAS[joint] for joint in joints) if set(joints) == set(_SIGMAS) else ()


def read_images(path: Path, content: Record) -> Images:
    """All images, at least one."""
    table = Table.of(path, content, "images", "image")
    if not table.records:
        raise DataError(f"{path} has no images: list at least one")
    ids = table.distinct("id")
    sides = [
        table.column(key, lambda v: type(v) is int and 0 < v <= _MAX_SIDE, f"write '{key}' as a whole number of pixels")
        for key in ("width", "height")
    ]
    places = {image: place for place, image in enumerate(ids)}
    return Images(tuple(table.texts("file_name")), np.array(sides, dtype=np.int64).T, places)


def read_objects(
    path: Path, content: Record, images: Images, classes: dict[int, int], task: str, joints: int
) -> tuple[Objects, Drops | None]:
    """Objects on `images`, maybe fewer than the file has. classes: class of a category id; others are ignored."""
    table = Table.of(path, content, "annotations", "annotation")
    own = read_images(path, content)
    table.distinct("id")
    theirs = table.places("image_id", own.places, "image")
    known = Table.of(path, content, "categories", "category").integers("id")
    categories = table.places("category_id", {category: classes.get(category, -1) for category in known}, "category")
    here = _match_images(path, own, images)[theirs]
    mine = np.flatnonzero((here >= 0) & (categories >= 0))
    table, here, categories = table.select(mine), here[mine], categories[mine]

    crowds, areas, sizes = table.flags("iscrowd"), table.areas(), images.sizes[here]
    points = _read_points(table, joints) if joints else None
    boxes, seen = _read_boxes(table, sizes, points)
    lost = np.flatnonzero(~seen)
    drops = Drops(path, lost.size, "boxes without area", table.name(int(lost[0]))) if lost.size else None

    kept = np.flatnonzero(seen)
    kept = kept[np.argsort(here[kept], kind="stable")]
    outlines = None
    if task in ("iseg", "pano"):
        remedy = "add one, or use --task det" if task == "iseg" else "add one, or remove this file: PNGs will do"
        outlines = read_outlines(table.select(kept), crowds[kept], sizes[kept], remedy)
    first = np.searchsorted(here[kept], np.arange(len(images.names) + 1))
    found = Objects(
        first,
        categories[kept],
        boxes[kept],
        crowds[kept],
        areas[kept],
        None if points is None else points[kept].astype(np.float32),
        outlines,
    )
    return found, drops


def _match_images(path: Path, own: Images, images: Images) -> NDArray[np.int64]:
    """Place in `images` of every image of this file, -1 where it has none."""
    matches = np.array([images.places.get(image, -1) for image in own.places], dtype=np.int64)
    for place in np.flatnonzero((matches >= 0) & (own.sizes != images.sizes[matches]).any(1)):
        name = own.names[place]
        raise DataError(f"{path}: {name} has another size than in the panoptic file: annotate the same images in both")
    return matches


def _read_points(table: Table, joints: int) -> NDArray[np.float64]:
    """(records, joints, 3): x, y, visibility."""
    remedy = f"write x, y and visibility (0, 1 or 2) of {joints} joints: {3 * joints} finite numbers"
    points = table.vectors("keypoints", 3 * joints, remedy).reshape(-1, joints, 3)
    for row in np.flatnonzero(~np.isin(points[:, :, 2], (0, 1, 2)).all(1)):
        raise table.error(int(row), "has a joint whose visibility is not 0, 1 or 2", remedy)
    for row in np.flatnonzero((np.abs(points[:, :, :2]) > _FAR).any((1, 2))):
        raise table.error(int(row), "has a joint far outside its image", "give coordinates in pixels of this image")
    return points


def _read_boxes(
    table: Table, sizes: NDArray[np.int64], points: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """x0, y0, x1, y1 within the image, and whether a pixel is left. Without a box, joints span one."""
    remedy = "write [x, y, width, height] as four finite numbers"
    boxes = table.vectors("bbox", 4, remedy, None if points is None else [0.0] * 4)
    with np.errstate(over="ignore"):  # infinity is clipped as well
        boxes[:, 2:] += boxes[:, :2]
    if points is not None:
        bare = np.array([record.get("bbox") is None for record in table.records], dtype=np.bool_)
        labelled = points[bare, :, 2:] > 0
        spots = np.floor(points[bare, :, :2])
        boxes[bare, :2] = np.where(labelled, spots, np.inf).min(1)
        boxes[bare, 2:] = np.where(labelled, spots + 1, -np.inf).max(1)
    boxes = np.clip(boxes, 0, np.tile(sizes, 2))
    seen: NDArray[np.bool_] = np.all(boxes[:, 2:] - boxes[:, :2] >= 1 - _SLACK, axis=1)
    return boxes, seen
