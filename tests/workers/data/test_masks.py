"""`masks:DIR`: class ids are read as stored, and every mistake is an error of one line that names the file."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.real_data import real_data_folder
from workers.data import VOID, open_data
from workers.errors import BadDataFailure, DataError

LABELS = np.array([[0, 1, 1, 2], [0, 0, VOID, 2], [2, 2, 1, 1]], dtype=np.uint8)


def _add(folder: Path, part: str, name: str, suffix: str = "jpg") -> None:
    for kind in ("images", "annotations"):
        (folder / kind / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (200, 30, 30)).save(folder / "images" / part / f"{name}.{suffix}")
    Image.fromarray(LABELS).save(folder / "annotations" / part / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for part, name in (("train", "a"), ("train", "b"), ("val", "c")):
        _add(root, part, name)
    _add(root, "test", "d", "png")
    (root / "classes.json").write_text(json.dumps(["sky", "road", "car"]))
    return root


def test_reads_images_and_labels(folder: Path) -> None:
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    assert data.spec == f"masks:{folder.resolve()}"
    assert data.classes("seg") == ("sky", "road", "car")
    assert (data.size("train"), data.size("held-out")) == (2, 2)
    sample = data.sample("held-out", 1)
    assert sample.image.shape == (3, 4, 3)
    assert sample.semantic is not None
    assert np.array_equal(sample.semantic, LABELS)
    with pytest.raises(IndexError):
        data.sample("train", 2)


def test_relative_locations_become_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert open_data("masks:set", "seg").spec == f"masks:{folder.resolve()}"


def test_without_names_the_highest_id_gives_the_number_of_classes(folder: Path) -> None:
    (folder / "classes.json").unlink()
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    assert data.classes("seg") == ("class 0", "class 1", "class 2")


def test_the_layout_of_ade20k(folder: Path) -> None:
    plain = open_data(f"masks:{folder}", "seg")
    before = plain.fingerprint()
    for kind in ("images", "annotations"):
        (folder / kind / "train").rename(folder / kind / "training")
        (folder / kind / "val").rename(folder / kind / "validation")
        shutil.rmtree(folder / kind / "test")
    data = open_data(f"masks:{folder},ignore=0", "seg")
    data.check("seg")
    assert data.spec == f"masks:{folder.resolve()},ignore=0"
    assert (data.size("train"), data.size("held-out")) == (2, 1)
    assert len(data.classes("seg")) == 3
    semantic = data.sample("held-out", 0).semantic
    assert semantic is not None
    assert np.array_equal(semantic, np.where(LABELS == 0, VOID, LABELS))
    without = open_data(f"masks:{folder}", "seg").fingerprint()
    assert len({before, without, data.fingerprint()}) == 3  # other names, then other labels


@pytest.mark.parametrize("option", ["", "-1", "256", "sky", "²", pytest.param("9" * 5000, id="huge")])
def test_a_wrong_id_to_ignore_is_refused(folder: Path, option: str) -> None:
    with pytest.raises(DataError, match="is not a class id: give a number from 0 to 255") as caught:
        open_data(f"masks:{folder},ignore={option}", "seg")
    assert "\n" not in str(caught.value)


def test_a_test_folder_without_annotations_is_ignored(folder: Path) -> None:
    shutil.rmtree(folder / "annotations/test")
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    assert data.size("held-out") == 1


def test_palette_labels_keep_their_ids(folder: Path) -> None:
    image = Image.frombytes("P", (4, 3), LABELS.tobytes())
    image.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    image.save(folder / "annotations/train/a.png")
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    semantic = data.sample("train", 0).semantic
    assert semantic is not None
    assert np.array_equal(semantic, LABELS)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_two_bit_grey_labels_keep_their_ids(folder: Path) -> None:
    rows = bytes([0, 0b00_01_10_00]) * 3
    header = struct.pack(">IIBBBBB", 4, 3, 2, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    (folder / "annotations/train/a.png").write_bytes(png)
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    semantic = data.sample("train", 0).semantic
    assert semantic is not None
    assert semantic[0].tolist() == [0, 1, 2, 0]


def _labels(path: Path, value: int, size: tuple[int, int] = (4, 3)) -> None:
    Image.new("L", size, value).save(path)


def _empty(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-12])


def _drop_held_out(folder: Path) -> None:
    for kind in ("images", "annotations"):
        for part in ("val", "test"):
            shutil.rmtree(folder / kind / part)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: shutil.rmtree(f / "images/train"), r"images/train does not exist: give"),
        (lambda f: shutil.rmtree(f / "annotations/val"), r"annotations/val does not exist: give"),
        (_drop_held_out, r"images/val does not exist, and there is no test folder with annotations: hold out"),
        (lambda f: _empty(f / "images/val"), r"images/val is empty: put"),
        (lambda f: (f / "annotations/train/b.png").unlink(), r"images/train/b\.jpg has no annotation: add"),
        (lambda f: (f / "images/train/b.jpg").unlink(), r"annotations/train/b\.png has no image: add"),
        (lambda f: _add(f, "train", "a", "png"), r"a\.jpg and a\.png share one annotation: rename"),
        (lambda f: _labels(f / "annotations/val/c.png", 0, (3, 4)), r"c\.png is 3x4 .*c\.jpg is 4x3: save"),
        (lambda f: _labels(f / "annotations/val/c.png", 3), r"c\.png has class id 3 but there are 3 .* use ids 0 to 2"),
        (lambda f: Image.new("RGB", (4, 3)).save(f / "annotations/val/c.png"), r"c\.png is not an 8-bit grey"),
        (lambda f: Image.new("I;16", (4, 3)).save(f / "annotations/val/c.png"), r"c\.png is not an 8-bit grey"),
        (lambda f: _truncate(f / "images/train/a.jpg"), r"a\.jpg is not a readable image or is truncated: replace"),
        (lambda f: _truncate(f / "images/test/d.png"), r"images/test/d\.png is not a readable image or is truncated"),
        (lambda f: (f / "images/train/a.jpg").write_text("<html>"), r"a\.jpg is not a readable image"),
        (lambda f: (f / "annotations/train/a.png").write_text(""), r"annotations/train/a\.png is not a readable image"),
        (lambda f: (f / "classes.json").write_text("[sky"), r"classes\.json is not readable JSON: write"),
        (lambda f: (f / "classes.json").write_text("{}"), r"classes\.json is not a list of class names: write"),
        (lambda f: (f / "classes.json").write_text('["a", "a", "b"]'), r"classes\.json has an empty, repeated"),
        (lambda f: (f / "classes.json").write_text("[1, 2, 3]"), r"classes\.json has an empty, repeated or non-text"),
    ],
)
def test_mistakes_are_one_line(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"masks:{folder}", "seg").check("seg")
    assert "\n" not in str(caught.value)


def test_annotations_with_only_void_are_refused(folder: Path) -> None:
    (folder / "classes.json").unlink()
    for path in (folder / "annotations").rglob("*.png"):
        _labels(path, VOID)
    with pytest.raises(DataError, match="labels every pixel as void"):
        open_data(f"masks:{folder}", "seg").check("seg")


def test_wrong_locations_and_tasks_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="names no folder: write masks:DIR"):
        open_data("masks:", "seg")
    with pytest.raises(DataError, match="nowhere does not exist: give a folder"):
        open_data(f"masks:{folder / 'nowhere'}", "seg")
    with pytest.raises(DataError, match=r"classes\.json is a file: give a folder"):
        open_data(f"masks:{folder / 'classes.json'}", "seg")
    with pytest.raises(DataError, match="no annotations for task det: masks supports seg"):
        open_data(f"masks:{folder}", "seg").check("det")


@pytest.mark.parametrize("file", ["images/train/a.jpg", "annotations/train/a.png"])
def test_a_file_that_changes_after_the_check_is_bad_data(folder: Path, file: str) -> None:
    data = open_data(f"masks:{folder}", "seg")
    data.check("seg")
    (folder / file).write_bytes(b"gone")
    with pytest.raises(BadDataFailure, match=file):
        data.sample("train", 0)
    (folder / file).unlink()
    with pytest.raises(BadDataFailure, match=file):
        data.sample("train", 0)


def test_fingerprint_depends_on_the_content_and_not_on_the_location(folder: Path, tmp_path: Path) -> None:
    before = open_data(f"masks:{folder}", "seg").fingerprint()
    moved = folder.rename(tmp_path / "moved")
    assert open_data(f"masks:{moved}", "seg").fingerprint() == before
    assert len(before) == 16
    _labels(moved / "annotations/val/c.png", 1)
    edited = open_data(f"masks:{moved}", "seg").fingerprint()
    (moved / "classes.json").write_text('["a", "b", "c"]')
    assert len({before, edited, open_data(f"masks:{moved}", "seg").fingerprint()}) == 3


@pytest.mark.real
def test_camvid() -> None:
    folder = real_data_folder("camvid")
    data = open_data(f"masks:{folder}/camvid", "seg")
    data.check("seg")
    assert len(data.classes("seg")) == 11
    assert (data.size("train"), data.size("held-out")) == (367, 334)
    assert data.sample("train", 0).image.shape == (180, 240, 3)


def test_the_highest_id_is_looked_for_once_a_machine(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("workers.data.masks._INDEXED_ANNOTATIONS", 0)
    (folder / "classes.json").unlink(missing_ok=True)
    names = open_data(f"masks:{folder}", "seg").classes("seg")
    with monkeypatch.context() as patch:
        patch.setattr("workers.data.masks.read_labels", lambda path: pytest.fail("decoded again"))
        assert open_data(f"masks:{folder}", "seg").classes("seg") == names
    path = next((folder / "annotations/train").iterdir())
    with Image.open(path) as image:
        size = image.size
    Image.new("L", size, 77).save(path)
    assert len(open_data(f"masks:{folder}", "seg").classes("seg")) == 78
