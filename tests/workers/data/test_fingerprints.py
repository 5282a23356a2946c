"""Fingerprints are part of label keys: they stay the same in all versions, unless something is read in another way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.plain_images import red_box, write_png
from workers.data import open_data

LABELS = np.array([[0, 1, 1, 2]] * 3, dtype=np.uint8)
GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def _images(number: int) -> NDArray[np.uint8]:
    return np.dstack([GREY + number, GREY, GREY])


def write_masks(folder: Path) -> str:
    for number, subset in enumerate(("train", "train", "val", "test")):
        write_png(folder / "images" / subset / f"{number}.png", _images(number))
        write_png(folder / "annotations" / subset / f"{number}.png", LABELS)
    return f"masks:{folder}"


def write_masks_with_names(folder: Path) -> str:
    write_masks(folder)
    (folder / "classes.json").write_text('["sky", "road", "car"]')
    return f"masks:{folder},ignore=0"


def write_class_folders(folder: Path) -> str:
    for number, name in enumerate(("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog")):
        write_png(folder / name / f"{number}.png", _images(number))
        write_png(folder / name / "deep.png", np.full((3, 4), 0x8012 + number, dtype=np.uint16))
        write_png(folder / name / "opaque.png", np.dstack([_images(number), np.full((3, 4), 255, dtype=np.uint8)]))
    return f"imagefolder:{folder}"


def write_coco(folder: Path) -> str:
    square = [[1, 1, 3, 1, 3, 3, 1, 3]]
    for part in ("train", "val"):
        images = [{"id": i, "file_name": f"{i}.png", "width": 4, "height": 3} for i in (1, 2)]
        objects = [
            {"id": 10 + i, "image_id": i, "category_id": 3, "bbox": [1, 1, 2, 2], "segmentation": square}
            for i in (1, 2)
        ]
        segments = [
            {"image_id": i, "file_name": f"{i}.png", "segments_info": [{"id": 7, "category_id": 3}]} for i in (1, 2)
        ]
        for i in (1, 2):
            write_png(folder / "images" / part / f"{i}.png", _images(i))
            write_png(folder / f"annotations/panoptic_{part}" / f"{i}.png", red_box((4, 3), (0, 0, 4, 3)) // 200 * 7)
        joints = {"keypoints": [2, 2, 2, 3, 3, 1]}
        for kind, entries, more in (
            ("instances", objects, {}),
            ("person_keypoints", [entry | joints for entry in objects], {"keypoints": ["head", "hand"]}),
            ("panoptic", segments, {"isthing": 1}),
        ):
            content = {"images": images, "annotations": entries, "categories": [{"id": 3, "name": "cat"} | more]}
            (folder / f"annotations/{kind}_{part}.json").write_text(json.dumps(content))
    return f"coco:{folder}"


# As earlier versions computed them: of the files, and of the sizes of the files of large sets.
KNOWN: list[tuple[Callable[[Path], str], str, str, str]] = [
    (write_masks, "seg", "65d6b1d880c572af", "65d6b1d880c572af"),
    (write_masks_with_names, "seg", "6dbec2b8dc60f03a", "6dbec2b8dc60f03a"),
    (write_class_folders, "cls", "6b83a0102ab6247b", "23877e9d8011cdc7"),
    (write_coco, "det", "2e864248e299a56d", "bdf1a9b929dcac10"),
    (write_coco, "iseg", "2e864248e299a56d", "bdf1a9b929dcac10"),
    (write_coco, "pose", "4c6045afb55ff10e", "5871d99b7a397a14"),
    (write_coco, "pano", "c564c0f5d90e299f", "2dc0ed30ae03b65a"),
    (write_coco, "seg", "507ddf0d75656e96", "b020815934a39b3a"),
]


@pytest.mark.parametrize(("write", "task", "expected", "large"), KNOWN)
def test_what_was_read_rightly_keeps_its_fingerprint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], str],
    task: str,
    expected: str,
    large: str,
) -> None:
    spec = write(tmp_path / "set")
    data = open_data(spec, task)
    data.check(task)
    assert data.fingerprint() == expected
    monkeypatch.setattr("workers.data.coco.dataset._MAX_HASHED_IMAGES", 0)
    monkeypatch.setattr("workers.data.imagefolder._MAX_HASHED_IMAGES", 0)
    assert open_data(spec, task).fingerprint() == large


def _content_only(monkeypatch: pytest.MonkeyPatch, spec: str, task: str) -> str:
    """Return the fingerprint of earlier versions, which did not depend on how images are read."""
    with monkeypatch.context() as patch:
        for module in ("coco.dataset", "imagefolder", "masks"):
            patch.setattr(f"workers.data.{module}.with_reading", lambda content, paths, bits: content)
        return open_data(spec, task).fingerprint()


@pytest.mark.parametrize(("write", "task"), [(write_masks, "seg"), (write_class_folders, "cls"), (write_coco, "det")])
@pytest.mark.parametrize("kind", ["12 bits", "10 bits in RGB", "transparent", "grey with transparency"])
def test_what_is_read_in_another_way_has_another_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], str], task: str, kind: str
) -> None:
    spec = write(tmp_path / "set")
    images = [path for path in (tmp_path / "set").rglob("*.png") if "annotations" not in path.parts]
    deep, some_clear = np.full((3, 4), 4000, dtype=np.uint16), np.full((3, 4), 255, dtype=np.uint8)
    some_clear[1, 1] = 0
    chosen = {
        "12 bits": deep,
        "10 bits in RGB": np.dstack([deep // 4] * 3),
        "transparent": np.dstack([GREY, GREY, GREY, some_clear]),
        "grey with transparency": np.dstack([GREY, some_clear]),
    }[kind]
    for path in images:
        write_png(path, chosen)
    new = open_data(spec, task).fingerprint()
    assert new != _content_only(monkeypatch, spec, task)
    assert open_data(spec, task).fingerprint() == new


def test_the_meaning_of_masks_is_part_of_their_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_masks(tmp_path / "set")
    for path in (tmp_path / "set/annotations").rglob("*.png"):
        write_png(path, np.where(LABELS > 0, 255, 0).astype(np.uint8))
    read_alone = open_data(spec, "seg").fingerprint()
    assert open_data(f"{spec},foreground=255", "seg").fingerprint() == read_alone
    assert len({read_alone, open_data(f"{spec},ignore=255", "seg").fingerprint()}) == 2
