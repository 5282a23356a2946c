"""Categories, images and objects of a COCO file, as arrays. Boxes are clipped to their images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.data.coco.json import Record, Table, is_text, to_floats
from workers.data.coco.masks import Segmentations, read_segmentations
from workers.errors import DataError

_MAX_SIDE = 65535  # the limit of JPEG; also, pycocotools counts pixels in 32 bits
_SIDE_TOLERANCE = 1e-6  # rounding error of the side of a box of one pixel
_MAX_COORDINATE = 1e6  # of a joint
# COCO's official sigmas, by joint.
_FACE_SIGMAS = {"nose": 0.026} | {f"{side}_eye": 0.025 for side in ("left", "right")}
_LIMB_SIGMAS = {
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
_SIGMAS = _FACE_SIGMAS | {
    f"{side}_{joint}": sigma for joint, sigma in _LIMB_SIGMAS.items() for side in ("left", "right")
}


@dataclass(frozen=True, slots=True)
class Category:
    """One class. id: as in the file."""

    id: int
    name: str
    thing: bool = True
    joints: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Images:
    """Images in the order of the file. sizes: (images, 2) width, height. positions: the position of each id."""

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    positions: dict[int, int]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Annotations of one file that are skipped, most often because they have no pixels."""

    path: Path
    count: int
    kind: str  # such as 'boxes without area'
    first: str
    verb: str = "dropped"

    def __str__(self) -> str:
        return f"{self.path}: {self.verb} {self.count} {self.kind} (first: {self.first})"


@dataclass(frozen=True, slots=True)
class Objects:
    """Annotated objects, sorted by image: image i has starts[i]:starts[i + 1]. areas: NaN if not given.

    sideways: by image, whether an annotation exceeds its width and height but would fit them exchanged. blank: whether
    the mask of an object has no pixel; all False without masks.
    """

    starts: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.float64]
    sideways: NDArray[np.bool_]
    blank: NDArray[np.bool_]
    joints: NDArray[np.float32] | None = None
    segmentations: Segmentations | None = None

    def images_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of the images that objects belong to."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def people(self) -> NDArray[np.int64]:
        """Return the rows of people with a labelled joint, without crowds."""
        assert self.joints is not None
        return np.flatnonzero((self.joints[:, :, 2] > 0).any(1) & ~self.crowds)


def read_categories(path: Path, content: Record, task: str) -> tuple[Category, ...]:
    """Read the classes in the order of their ids, things first; for pose only the first category with joints."""
    table = Table.from_content(path, content, "categories", "category")
    if not table.records:
        raise DataError(f"{path} has no categories: list at least one")
    ids, names = table.unique_integers("id"), table.texts("name")
    for row, name in enumerate(names):
        if name in names[:row]:
            raise table.error(row, "has the same name as another category", "rename one of them")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    if task == "pose":
        with_joints = [row for row in order if table.records[row].get("keypoints") is not None]
        if not with_joints:
            raise DataError(f"{path} has no category with 'keypoints': list the names of its joints there")
        row, joints = with_joints[0], _read_joints(table, with_joints[0])
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
        raise table.error(row, "has invalid 'keypoints'", "write the names of its joints as a list, all different")
    return tuple(joints)


def _read_sigmas(table: Table, row: int, joints: tuple[str, ...]) -> tuple[float, ...]:
    """Read the sigmas of the file, or else use COCO's official sigmas if the joints are COCO's."""
    record = table.records[row]
    for key in ("sigmas", "keypoint_sigmas"):
        given = record.get(key)
        if given is not None:
            sigmas = to_floats(given) if type(given) is list and len(given) == len(joints) else None
            if sigmas is None or not bool((sigmas > 0).all()):
                raise table.error(row, f"has invalid '{key}'", f"write {len(joints)} positive numbers, one per joint")
            return tuple(sigmas.tolist())
    return tuple(_SIGMAS[joint] for joint in joints) if set(joints) == set(_SIGMAS) else ()


def read_images(path: Path, content: Record) -> Images:
    """Read all images. There must be at least one."""
    table = Table.from_content(path, content, "images", "image")
    if not table.records:
        raise DataError(f"{path} has no images: list at least one")
    ids = table.unique_integers("id")
    sides = [
        table.column(key, lambda v: type(v) is int and 0 < v <= _MAX_SIDE, f"write '{key}' as a whole number of pixels")
        for key in ("width", "height")
    ]
    positions = {image: position for position, image in enumerate(ids)}
    return Images(tuple(table.texts("file_name")), np.array(sides, dtype=np.int64).T, positions)


def read_objects(
    path: Path, content: Record, images: Images, classes: dict[int, int], task: str, joints: int
) -> tuple[Objects, tuple[Dropped, ...]]:
    """Read the objects on `images`, which may be fewer than the images of this file.

    classes: the class of each category id; objects of other categories are ignored. joints: their number, 0 for none.
    Returns the objects, and what is left out: boxes without area, and people of a second category with joints. Objects
    whose masks have no pixel are reported, and remain.
    """
    table = Table.from_content(path, content, "annotations", "annotation")
    file_images = read_images(path, content)
    table.unique_integers("id")
    file_positions = table.lookup("image_id", file_images.positions, "image")
    known = Table.from_content(path, content, "categories", "category").integers("id")
    categories = table.lookup("category_id", {category: classes.get(category, -1) for category in known}, "category")
    left_out = _other_people(table, content, categories) if task == "pose" else ()
    positions = _match_images(path, file_images, images)[file_positions]
    used = np.flatnonzero((positions >= 0) & (categories >= 0))
    table, positions, categories = table.select(used), positions[used], categories[used]

    crowds, areas, sizes = table.flags("iscrowd"), table.areas(), images.sizes[positions]
    points = _read_points(table, joints) if joints else None
    boxes = _read_boxes(table, points)
    sideways = np.zeros(len(images.names), dtype=np.bool_)
    sideways[positions[_fits_sideways(boxes, sizes)]] = True
    boxes = np.clip(boxes, 0, np.tile(sizes, 2))
    has_area = np.all(boxes[:, 2:] - boxes[:, :2] >= 1 - _SIDE_TOLERANCE, axis=1)
    left_out += _dropped(path, table, np.flatnonzero(~has_area), "boxes without area")

    rows = np.flatnonzero(has_area)
    rows = rows[np.argsort(positions[rows], kind="stable")]
    segmentations, blank = None, np.zeros(rows.size, dtype=np.bool_)
    if task in ("iseg", "pano"):
        remedy = "add one, or " + ("use --task det" if task == "iseg" else "remove this file: the PNGs are sufficient")
        segmentations = read_segmentations(table.select(rows), crowds[rows], sizes[rows], remedy)
        blank = segmentations.find_blank(sizes[rows])
        left_out += _dropped(path, table, rows[blank], "objects whose mask has no pixel", "kept")
    objects = Objects(
        np.searchsorted(positions[rows], np.arange(len(images.names) + 1)),
        categories[rows],
        boxes[rows],
        crowds[rows],
        areas[rows],
        sideways,
        blank,
        None if points is None else points[rows].astype(np.float32),
        segmentations,
    )
    return objects, left_out


def _dropped(
    path: Path, table: Table, rows: NDArray[np.int64], kind: str, verb: str = "dropped"
) -> tuple[Dropped, ...]:
    return (Dropped(path, rows.size, kind, table.describe(int(rows[0])), verb),) if rows.size else ()


def _other_people(table: Table, content: Record, classes: NDArray[np.int64]) -> tuple[Dropped, ...]:
    """Return the objects of categories that have joints too, of which only the first is read. classes: -1 if not."""
    with_joints = {c["id"] for c in content["categories"] if c.get("keypoints") is not None}
    others = [r for r in np.flatnonzero(classes < 0).tolist() if table.records[r]["category_id"] in with_joints]
    return _dropped(table.path, table, np.array(others, dtype=np.int64), "objects of further categories with joints")


def _match_images(path: Path, file_images: Images, images: Images) -> NDArray[np.int64]:
    """Return the position in `images` of each image of this file, -1 if it is not among them."""
    matches = np.array([images.positions.get(image, -1) for image in file_images.positions], dtype=np.int64)
    for position in np.flatnonzero((matches >= 0) & (file_images.sizes != images.sizes[matches]).any(1)):
        fault = f"{file_images.names[position]} has a different size than in the panoptic file"
        raise DataError(f"{path}: {fault}: annotate the same images in both")
    return matches


def _read_points(table: Table, joints: int) -> NDArray[np.float64]:
    """Read (records, joints, 3): x, y, visibility."""
    remedy = f"write x, y and visibility (0, 1 or 2) of {joints} joints: {3 * joints} finite numbers"
    points = table.vectors("keypoints", 3 * joints, remedy).reshape(-1, joints, 3)
    for row in np.flatnonzero(~np.isin(points[:, :, 2], (0, 1, 2)).all(1)):
        raise table.error(int(row), "has a joint whose visibility is not 0, 1 or 2", remedy)
    for row in np.flatnonzero((np.abs(points[:, :, :2]) > _MAX_COORDINATE).any((1, 2))):
        raise table.error(int(row), "has a joint far outside its image", "give coordinates in pixels of this image")
    return points


def _read_boxes(table: Table, points: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1, which may exceed the image.

    A person without a box gets the box around its labelled joints.
    """
    remedy = "write [x, y, width, height] as four finite numbers"
    boxes = table.vectors("bbox", 4, remedy, None if points is None else [0.0] * 4)
    with np.errstate(over="ignore"):  # infinity is clipped later
        boxes[:, 2:] += boxes[:, :2]
    if points is not None:
        no_box = np.array([record.get("bbox") is None for record in table.records], dtype=np.bool_)
        labelled = points[no_box, :, 2:] > 0
        pixels = np.floor(points[no_box, :, :2])
        boxes[no_box, :2] = np.where(labelled, pixels, np.inf).min(1)
        boxes[no_box, 2:] = np.where(labelled, pixels + 1, -np.inf).max(1)
    return boxes


def _fits_sideways(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which boxes exceed (width, height) by more than a pixel, but not (height, width)."""
    beyond = (boxes[:, 2:] > sizes + 1).any(1)
    inside = (boxes[:, 2:] <= sizes[:, ::-1] + 1).all(1) & (boxes[:, :2] >= -1).all(1)
    sideways: NDArray[np.bool_] = np.logical_and(beyond, inside)
    return sideways
