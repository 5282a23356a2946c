"""What is not used of a data set is counted and reported, and layouts of image and mask folders are recognised."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.plain_images import red_box, write_png
from tests.support.small_coco import Content, edit, write_small_coco
from workers.data import DataWarning, open_data
from workers.errors import DataError

PIXELS = red_box((16, 12), (4, 3, 12, 9))
LABELS = (PIXELS[..., 0] > 0).astype(np.uint8)


def write_classes(folder: Path, *subsets: str) -> Path:
    for subset in subsets or ("train", "val"):
        for name in ("cat", "dog"):
            write_png(folder / subset / name / "0.png", PIXELS)
    return folder


def write_masks(folder: Path, *subsets: str, images: str = "images", labels: str = "annotations") -> Path:
    for subset in subsets or ("train", "val"):
        write_png(folder / images / subset / "0.png", PIXELS)
        write_png(folder / labels / subset / "0.png", LABELS)
    return folder


def notes(spec: str, task: str) -> str:
    """Return what the check reports; decode all samples afterwards."""
    data = open_data(spec, task)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.check(task)
    for split in ("train", "held-out"):
        for index in range(data.size(split)):
            data.sample(split, index)
    return "; ".join(str(warning.message) for warning in caught if issubclass(warning.category, DataWarning))


def _dangle(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize(
    ("spoil", "reported"),
    [
        (
            lambda f: (f / "train/cat/a.heic").write_bytes(b"x"),
            "1 files that are no images of a class (.heic 1; first: cat/a.heic)",
        ),
        (lambda f: (f / "val/dog/README").write_text("x"), "(no suffix 1; first: dog/README)"),
        (lambda f: _dangle(f / "train/cat/b.jpg"), "(.jpg 1; first: cat/b.jpg)"),
        (lambda f: write_png(f / "train/loose.png", PIXELS), "(.png 1; first: loose.png)"),
        (
            lambda f: [(f / f"train/cat/{n}.xml").write_text("x") for n in range(7)],
            "7 files that are no images of a class (.xml 7;",
        ),
    ],
)
def test_files_of_an_image_folder(tmp_path: Path, spoil: Callable[[Path], object], reported: str) -> None:
    spoil(write_classes(tmp_path))
    assert reported in notes(f"imagefolder:{tmp_path}", "cls")


def test_nested_and_linked_folders_are_used_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(tmp_path / "set")
    write_png(tmp_path / "set/train/cat/house/0.png", PIXELS)
    write_png(tmp_path / "elsewhere/siam/1.png", PIXELS)
    (tmp_path / "set/train/cat/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/train/cat/loop").symlink_to(tmp_path / "set/train/cat")
    spec = f"imagefolder:{tmp_path / 'set'}"
    assert notes(spec, "cls") == ""
    data = open_data(spec, "cls")
    assert [data.sample("train", i).category for i in range(data.size("train"))] == [0, 0, 0, 1]
    monkeypatch.setattr("workers.data.image_lists._INDEXED_IMAGES", 0)
    before = open_data(spec, "cls").fingerprint()
    assert before == data.fingerprint()
    write_png(tmp_path / "elsewhere/siam/2.png", PIXELS)  # below the folders whose times name the index
    assert open_data(spec, "cls").size("train") == 5


@pytest.mark.parametrize(
    ("train", "held_out"), [("train", "valid"), ("training", "validation"), ("Train", "Val"), ("TRAIN", "test")]
)
def test_names_of_subsets(tmp_path: Path, train: str, held_out: str) -> None:
    for spec, task in (
        (f"imagefolder:{write_classes(tmp_path / 'classes', train, held_out)}", "cls"),
        (f"masks:{write_masks(tmp_path / 'masks', train, held_out)}", "seg"),
    ):
        assert notes(spec, task) == ""
        assert open_data(spec, task).size("train") == open_data(spec, task).size("held-out")


def test_two_folders_of_one_subset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds val and valid, which both mean val: keep one of them"):
        notes(f"imagefolder:{write_classes(tmp_path / 'a', 'train', 'val', 'valid')}", "cls")
    with pytest.raises(DataError, match=r"holds train and training, which both mean train: keep one of them"):
        notes(f"masks:{write_masks(tmp_path / 'b', 'train', 'training', 'val')}", "seg")
    write_masks(tmp_path / "c", images="data", labels="labels")
    write_masks(tmp_path / "c", images="img", labels="labels")
    with pytest.raises(DataError, match=r"data/train and .*img/train may both hold the train images: move one"):
        notes(f"masks:{tmp_path / 'c'}", "seg")


def test_layouts_of_masks(tmp_path: Path) -> None:
    assert notes(f"masks:{write_masks(tmp_path / 'a', images='data', labels='labels')}", "seg") == ""
    for subset in ("train", "validation"):
        write_png(tmp_path / "b" / subset / "data/0.png", PIXELS)
        write_png(tmp_path / "b" / subset / "labels/0.png", LABELS)
    assert notes(f"masks:{tmp_path / 'b'}", "seg") == ""
    assert open_data(f"masks:{tmp_path / 'b'}", "seg").classes("seg") == ("class 0", "class 1")


@pytest.mark.parametrize("suffix", ["bmp", "tif", "gif", "pgm"])
def test_labels_in_other_exact_formats(tmp_path: Path, suffix: str) -> None:
    write_masks(tmp_path)
    for path in (tmp_path / "annotations").rglob("*.png"):
        Image.fromarray(LABELS).save(path.with_suffix(f".{suffix}"))
        path.unlink()
    assert notes(f"masks:{tmp_path}", "seg") == ""
    assert np.array_equal(open_data(f"masks:{tmp_path}", "seg").sample("train", 0).semantic, LABELS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "reported"),
    [
        (lambda f: (f / "images/train/a.cr2").write_bytes(b"x"), "images/train: left out 1 files or folders (.cr2 1;"),
        (lambda f: (f / "annotations/val/a.json").write_text("x"), "annotations/val: left out 1 files or folders"),
        (lambda f: write_png(f / "images/train/city/1.png", PIXELS), "(no suffix 1; first: city)"),
        (lambda f: _dangle(f / "images/val/1.jpg"), "images/val: left out 1 files or folders (.jpg 1; first: 1.jpg)"),
        (lambda f: write_png(f / "annotations/val/0.png", LABELS * 90), "no pixel has a value between 1 and 90"),
        (
            lambda f: write_png(f / "annotations/val/0.png", LABELS * 3),
            "1 held-out classes are not in train (first: class 3)",
        ),
    ],
)
def test_files_and_values_of_masks(tmp_path: Path, spoil: Callable[[Path], object], reported: str) -> None:
    spoil(write_masks(tmp_path))
    assert reported in notes(f"masks:{tmp_path}", "seg")


@pytest.mark.parametrize(("value", "classes"), [(127, 2), (128, 2), (254, 2), (255, 2), (2, 3)])
def test_masks_of_two_values(tmp_path: Path, value: int, classes: int) -> None:
    write_masks(tmp_path)
    for path in (tmp_path / "annotations").rglob("*.png"):
        write_png(path, LABELS * np.uint8(value))
    reported = notes(f"masks:{tmp_path}", "seg")
    assert (f"so {value} is class 1" in reported) == (value > 2)
    data = open_data(f"masks:{tmp_path}", "seg")
    assert len(data.classes("seg")) == classes
    assert np.array_equal(data.sample("train", 0).semantic == classes - 1, LABELS)


def test_named_classes_of_binary_masks(tmp_path: Path) -> None:
    write_masks(tmp_path)
    for path in (tmp_path / "annotations").rglob("*.png"):
        write_png(path, LABELS * np.uint8(255))
    (tmp_path / "classes.json").write_text('["ground", "thing"]')
    assert "so 255 is class 1" in notes(f"masks:{tmp_path}", "seg")
    (tmp_path / "classes.json").write_text('["ground", "thing", "other"]')
    with pytest.raises(DataError, match=r"one class only \(0\): .*255 means unknown.*foreground=255"):
        notes(f"masks:{tmp_path}", "seg")
    assert notes(f"masks:{tmp_path},foreground=255", "seg") == ""


def _polygon(*points: float) -> Callable[[Content], object]:
    return lambda c: c["annotations"][0].update(segmentation=[list(points)])


@pytest.mark.parametrize(
    ("task", "change", "reported"),
    [
        (
            "det",
            lambda c: c["annotations"][0].update(bbox=[4, 2, 0, 6]),
            "dropped 1 boxes without area (first: annotation 11)",
        ),
        ("iseg", _polygon(30, 2, 34, 2, 34, 8), "kept 1 objects whose mask has no pixel (first: annotation 11)"),
        ("iseg", _polygon(5, 5, 5, 5, 5, 5), "kept 1 objects whose mask has no pixel"),
        ("iseg", _polygon(5.1, 5.1, 5.3, 5.1, 5.2, 5.2), "kept 1 objects whose mask has no pixel"),
        (
            "iseg",
            lambda c: c["annotations"][0].update(segmentation={"size": [12, 20], "counts": [240]}),
            "kept 1 objects",
        ),
        ("iseg", _polygon(5, 5, 9, 5, 9, 9), ""),
        ("iseg", _polygon(0, 0, 20, 12, 20, 11.9), "kept 1 objects"),
        ("iseg", _polygon(2, 2, 20, 2, 20, 3.1), ""),
    ],
)
def test_objects_of_coco(tmp_path: Path, task: str, change: Callable[[Content], object], reported: str) -> None:
    edit(write_small_coco(tmp_path) / "annotations/instances_val.json", change)
    found = notes(f"coco:{tmp_path}", task)
    assert reported in found
    assert bool(reported) == bool(found)


def test_people_of_a_second_category(tmp_path: Path) -> None:
    def add(content: Content) -> None:
        content["categories"].append({"id": 8, "name": "horse", "keypoints": ["head", "hoof"]})
        content["annotations"][1].update(category_id=8)

    write_small_coco(tmp_path)
    for part in ("train", "val"):
        edit(tmp_path / f"annotations/person_keypoints_{part}.json", add)
    found = notes(f"coco:{tmp_path}", "pose")
    assert found.count("dropped 1 objects of further categories with joints (first: annotation 12)") == 2


def test_images_that_no_annotation_file_lists_are_counted(tmp_path: Path) -> None:
    folder = write_small_coco(tmp_path / "set")
    assert "lists" not in notes(f"coco:{folder}", "det")
    image = next(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    for name in ("new1.jpg", "new2.png"):
        write_png(image.parent / name, PIXELS)
    assert "2 images that no annotation file lists (first: new1.jpg)" in notes(f"coco:{folder}", "det")
