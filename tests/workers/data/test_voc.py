"""`masks:DIR` in the layout of Pascal VOC, with class ids or with the colours that CVAT exports."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workers.data import VOID, DataSet, open_data
from workers.data.base import DataWarning
from workers.errors import DataError

IDS = np.array([[0, 1, 1, 2], [0, 0, VOID, 2], [2, 2, 1, 1]], dtype=np.uint8)
COLOURS = {0: (0, 0, 0), 1: (128, 64, 128), 2: (0, 0, 142), VOID: (224, 224, 192)}
LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\ncar:0,0,142::\n"


def _palette_mask(path: Path) -> None:
    mask = Image.fromarray(IDS, mode="P")
    mask.putpalette([channel for i in range(256) for channel in COLOURS.get(i, (i, i, i))])
    mask.save(path)


def _colour_mask(path: Path) -> None:
    Image.fromarray(np.array([[COLOURS[int(i)] for i in row] for row in IDS], np.uint8)).save(path)


def _write(folder: Path, mask: Callable[[Path], None], label_map: str = "") -> Path:
    lists = folder / "ImageSets" / "Segmentation"
    for part in (folder / "JPEGImages", folder / "SegmentationClass", lists):
        part.mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.new("RGB", (4, 3), (200, 30, 30)).save(folder / "JPEGImages" / f"{name}.jpg")
        mask(folder / "SegmentationClass" / f"{name}.png")
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    if label_map:
        (folder / "labelmap.txt").write_text(label_map)
    return folder


@pytest.fixture
def cvat(tmp_path: Path) -> Path:
    return _write(tmp_path / "cvat", _colour_mask, LABEL_MAP)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return _write(tmp_path / "voc", _palette_mask)


def _checked(folder: Path) -> DataSet:
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    return data


def test_class_ids_of_palette_images(voc: Path) -> None:
    data = _checked(voc)
    assert (data.size("train"), data.size("held-out")) == (2, 1)
    assert data.classes("seg") == ("class 0", "class 1", "class 2")
    assert np.array_equal(data.sample("held-out", 0).semantic, IDS)


@pytest.mark.parametrize("mask", [_colour_mask, _palette_mask], ids=["rgb", "palette"])
def test_colours_of_the_label_map(tmp_path: Path, mask: Callable[[Path], None]) -> None:
    # The classes of a label map are in another order than the ids of a palette.
    lines = LABEL_MAP.splitlines()
    folder = _write(tmp_path / "set", mask, "\n".join([lines[0], lines[1], lines[3], lines[2]]))
    data = _checked(folder)
    assert data.classes("seg") == ("background", "car", "road")
    meaning = np.arange(256)
    meaning[[1, 2]] = [2, 1]
    assert np.array_equal(data.sample("train", 1).semantic, meaning[IDS])


def test_another_label_map_is_another_data_set(cvat: Path) -> None:
    before = _checked(cvat).fingerprint()
    (cvat / "labelmap.txt").write_text(LABEL_MAP.replace("road", "street"))
    assert _checked(cvat).fingerprint() != before


def test_images_in_no_list_are_counted(voc: Path) -> None:
    Image.new("RGB", (4, 3)).save(voc / "JPEGImages" / "unused.jpg")
    with pytest.warns(DataWarning, match=r"left out 1 images in no list .*unused\.jpg"):
        _checked(voc)


def test_a_test_list_without_masks_is_not_evaluated(voc: Path) -> None:
    (voc / "ImageSets" / "Segmentation" / "test.txt").write_text("hidden\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _checked(voc).size("held-out") == 1


def _no_val(folder: Path) -> None:
    (folder / "ImageSets" / "Segmentation" / "val.txt").unlink()


def _only_default(folder: Path) -> None:
    _no_val(folder)
    (folder / "ImageSets" / "Segmentation" / "train.txt").rename(folder / "ImageSets/Segmentation/default.txt")


def _no_lists(folder: Path) -> None:
    for path in (folder / "ImageSets" / "Segmentation").iterdir():
        path.unlink()
    (folder / "ImageSets" / "Segmentation").rmdir()


def _list(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "ImageSets" / "Segmentation" / "val.txt").write_text(text)

    return write


def _map(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "labelmap.txt").write_text(text)

    return write


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_val, "needs train.txt and val.txt"),
        (_only_default, "it has none: split the images there"),
        (_no_lists, "does not exist"),
        (_list(""), "names no image"),
        (_list("c\nc\n"), "names c twice"),
        (_list("a\n"), "both name a"),
        (_list("z\n"), "has no file named z"),
        (lambda folder: (folder / "SegmentationClass" / "c.png").unlink(), "has no file named c"),
        (_map("road 128,64,128\n"), "is not a class and its colour"),
        (_map(":1,2,3::\n"), "is not a class and its colour"),
        (_map("road:128,64::\n"), "is not a class and its colour"),
        (_map("road:1_2,64,1::\n"), "is not a class and its colour"),
        (_map("road:128,64,300::\n"), "above 255"),
        pytest.param(_map(f"road:128,64,{'9' * 5000}::\n"), "above 255", id="huge"),
        (_map(LABEL_MAP + "road:1,1,1::\n"), "repeats a class or a colour"),
        (_map(LABEL_MAP + "tree:0,0,0::\n"), "repeats a class or a colour"),
        (_map("# nothing\n"), "has 0 classes"),
        (_map(LABEL_MAP.replace("car:0,0,142::\n", "")), r"colour \(0, 0, 142\), which .*labelmap.txt does not have"),
    ],
)
def test_every_mistake_is_one_line(cvat: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(cvat)
    with pytest.raises(DataError, match=message) as caught:
        _checked(cvat)
    assert "\n" not in str(caught.value)
