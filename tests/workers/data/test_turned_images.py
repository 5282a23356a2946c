"""Every format of images, in every EXIF orientation and data format: pixels, boxes, masks and joints agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from tests.support.plain_images import as_stored, red_box, save_turned
from workers.data import Sample, open_data
from workers.errors import DataError

SIZE, BOX = (48, 32), (8, 4, 24, 12)  # width and height; x0, y0, x1, y1 of the red rectangle, both upright
UPRIGHT = red_box(SIZE, BOX)
MASK = (UPRIGHT[..., 0] > 0).astype(np.uint8)
ORIENTATIONS = range(1, 9)
_LOSSY = {"quality": 95}
FORMATS: dict[str, dict[str, Any]] = {
    "jpg": _LOSSY,
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    **({"avif": _LOSSY} if features.check("avif") else {}),
}
every_orientation = pytest.mark.parametrize("orientation", ORIENTATIONS)
every_format = pytest.mark.parametrize("suffix", FORMATS)


def _save(path: Path, orientation: int) -> Path:
    return save_turned(path, UPRIGHT, orientation, **FORMATS[path.suffix[1:]])


def _is_red(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (pixels[..., 0] > 100) & (pixels[..., 2] < 100)


def _assert_upright(sample: Sample) -> None:
    assert sample.image.shape == (SIZE[1], SIZE[0], 3)
    seen = np.abs(_is_red(sample.image).astype(int) - MASK)
    seen[BOX[1] - 1 : BOX[3] + 1, BOX[0] - 1 : BOX[2] + 1][[0, 1, -2, -1]] = 0  # lossy formats blur the edges
    seen[BOX[1] - 1 : BOX[3] + 1, [BOX[0] - 1, BOX[0], BOX[2] - 1, BOX[2]]] = 0
    assert not seen.any()


@every_format
@every_orientation
def test_image_folders(tmp_path: Path, suffix: str, orientation: int) -> None:
    for name in ("train/a", "train/b", "val/a", "val/b"):
        _save(tmp_path / name / f"0.{suffix}", orientation)
    data = open_data(f"imagefolder:{tmp_path}", "cls")
    data.check("cls")
    _assert_upright(data.sample("held-out", 1))


@pytest.mark.parametrize(
    ("orientation", "labels"),
    [*((n, kind) for n in ORIENTATIONS for kind in ("upright", "tagged")), *((n, "stored") for n in range(5, 9))],
)
@every_format
def test_masks(tmp_path: Path, suffix: str, orientation: int, labels: str) -> None:
    """Labels are of the image as seen, or of the pixels as stored, or are turned by a number in their own file.

    Labels of the stored pixels are known by their size, so only where it changes.
    """
    for subset in ("train", "val"):
        _save(tmp_path / "images" / subset / f"0.{suffix}", orientation)
        path = tmp_path / "annotations" / subset / "0.png"
        if labels == "tagged":
            save_turned(path, MASK, orientation)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(MASK if labels == "upright" else as_stored(MASK, orientation)).save(path)
    data = open_data(f"masks:{tmp_path}", "seg")
    data.check("seg")
    sample = data.sample("held-out", 0)
    _assert_upright(sample)
    assert np.array_equal(sample.semantic, MASK)  # type: ignore[arg-type]


def _write_coco(folder: Path, suffix: str, orientation: int, stored: bool, sizes_of_stored: bool | None = None) -> None:
    """Write one image a split with an object, a person and a segment. stored: annotations are of the stored pixels."""
    ids = np.dstack([MASK * 7, MASK * 0, MASK * 0]).astype(np.uint8)
    mask, ids = (as_stored(MASK, orientation), as_stored(ids, orientation)) if stored else (MASK, ids)
    ys, xs = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    x0, y0, x1, y1 = (int(v) for v in (xs[0], ys[0], xs[-1] + 1, ys[-1] + 1))
    declared = as_stored(MASK, orientation) if (stored if sizes_of_stored is None else sizes_of_stored) else MASK
    image = {"id": 1, "file_name": f"0.{suffix}", "width": declared.shape[1], "height": declared.shape[0]}
    entry = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
    entry |= {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
    joints = {"keypoints": [x0, y0, 2, x1 - 1, y1 - 1, 1]}
    segment = {"image_id": 1, "file_name": "0.png", "segments_info": [{"id": 7, "category_id": 3}]}
    for part in ("train", "val"):
        _save(folder / "images" / part / f"0.{suffix}", orientation)
        (folder / f"annotations/panoptic_{part}").mkdir(parents=True)
        Image.fromarray(ids).save(folder / f"annotations/panoptic_{part}/0.png")
        for kind, annotation, category in (
            ("instances", entry, {}),
            ("person_keypoints", entry | joints, {"keypoints": ["head", "foot"]}),
            ("panoptic", segment, {"isthing": 1}),
        ):
            content = {
                "images": [image],
                "annotations": [annotation],
                "categories": [{"id": 3, "name": "c"} | category],
            }
            (folder / f"annotations/{kind}_{part}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("orientation", "stored"), [*((n, False) for n in ORIENTATIONS), *((n, True) for n in range(5, 9))]
)
@every_format
def test_coco(tmp_path: Path, suffix: str, orientation: int, stored: bool) -> None:
    _write_coco(tmp_path, suffix, orientation, stored)
    for task in ("iseg", "pose", "pano"):
        data = open_data(f"coco:{tmp_path}", task)
        data.check(task)
        sample = data.sample("held-out", 0)
        _assert_upright(sample)
        (instance,) = sample.instances
        assert instance.box == BOX
        if task == "pose":
            assert instance.joints is not None
            corners = {tuple(point) for point in instance.joints[:, :2].tolist()}
            columns, rows = ({BOX[i], BOX[i + 2] - 1} for i in (0, 1))
            assert {x for x, _ in corners} == columns
            assert {y for _, y in corners} == rows
        else:
            assert np.array_equal(instance.mask, MASK)  # type: ignore[arg-type]
        if task == "pano":
            assert np.array_equal(sample.semantic == 0, MASK)


@pytest.mark.parametrize("orientation", range(5, 9))
@pytest.mark.parametrize("task", ["det", "pose"])
def test_sizes_of_the_stored_image_with_annotations_of_the_seen_one_are_refused(
    tmp_path: Path, orientation: int, task: str
) -> None:
    _write_coco(tmp_path, "jpg", orientation, False, sizes_of_stored=True)
    path = tmp_path / "annotations" / f"{'instances' if task == 'det' else 'person_keypoints'}_val.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [30, 4, 16, 8]  # up to x = 46: the stored image is 32 wide
    path.write_text(json.dumps(content))
    message = rf"0\.jpg is shown turned \(EXIF orientation {orientation}\), as 48x32: .* exchange width and height"
    with pytest.raises(DataError, match=message):
        open_data(f"coco:{tmp_path}", task).check(task)


@every_orientation
def test_sizes_that_fit_neither_are_refused(tmp_path: Path, orientation: int) -> None:
    _write_coco(tmp_path, "png", orientation, False)
    path = tmp_path / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    content["images"][0]["width"] = 50
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"0\.png is 48x32 pixels but 50x32 in .*: correct width and height"):
        open_data(f"coco:{tmp_path}", "det").check("det")
