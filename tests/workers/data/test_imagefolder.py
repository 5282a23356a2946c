"""`imagefolder:DIR`: the folder is the class, and images of every mode are converted to RGB."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.real_data import real_data_folder
from workers.data import open_data
from workers.errors import BadDataFailure, DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for name in ("train/cat/0.jpg", "train/cat/1.JPEG", "train/dog/0.png", "val/cat/0.jpg", "val/dog/0.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), (10, 200, 30)).save(root / name)
    return root


def test_reads_images_and_classes(folder: Path) -> None:
    (folder / "train/.cache").mkdir()
    (folder / "train/cat/notes.txt").write_text("no image")
    data = open_data(f"imagefolder:{folder}", "cls")
    data.check("cls")
    assert data.spec == f"imagefolder:{folder.resolve()}"
    assert data.classes("cls") == ("cat", "dog")
    assert (data.size("train"), data.size("held-out")) == (3, 2)
    assert [data.sample("train", i).category for i in range(3)] == [0, 0, 1]
    assert data.sample("train", 0).image.shape == (5, 6, 3)
    with pytest.raises(IndexError):
        data.sample("train", -1)


def test_val_and_test_are_both_held_out(folder: Path) -> None:
    shutil.copytree(folder / "val", folder / "test")
    assert open_data(f"imagefolder:{folder}", "cls").size("held-out") == 4
    shutil.rmtree(folder / "val")
    assert open_data(f"imagefolder:{folder}", "cls").size("held-out") == 2


def _sixteen_bit() -> Image.Image:
    return Image.fromarray(np.full((5, 6), 0x8012, dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "name", "pixel"),
    [
        (Image.new("L", (6, 5), 90), "grey.png", (90, 90, 90)),
        (Image.new("1", (6, 5), 1), "bit.png", (255, 255, 255)),
        (_sixteen_bit(), "deep.png", (128, 128, 128)),
        (Image.new("RGBA", (6, 5), (9, 9, 9, 0)), "clear.png", (9, 9, 9)),
        (Image.new("RGBA", (6, 5), (9, 8, 7, 255)), "opaque.png", (9, 8, 7)),
        (Image.new("LA", (6, 5), (50, 255)), "greyalpha.png", (50, 50, 50)),
        (Image.new("RGB", (6, 5), (1, 2, 3)).convert("P"), "palette.png", None),
        (Image.new("CMYK", (6, 5), (0, 255, 255, 0)), "print.jpg", (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(
    folder: Path, image: Image.Image, name: str, pixel: tuple[int, int, int] | None
) -> None:
    shutil.rmtree(folder / "train/cat")
    (folder / "train/cat").mkdir()
    image.save(folder / "train/cat" / name)
    data = open_data(f"imagefolder:{folder}", "cls")
    data.check("cls")
    read = data.sample("train", 0).image
    assert read.shape == (5, 6, 3)
    assert read.dtype == np.uint8
    if pixel is not None:
        assert np.abs(read[2, 3].astype(int) - pixel).max() <= 2


def test_bytes_after_the_end_of_a_jpeg_are_harmless(folder: Path) -> None:
    path = folder / "train/cat/0.jpg"
    path.write_bytes(path.read_bytes() + b"camera")
    open_data(f"imagefolder:{folder}", "cls").check("cls")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-12])


def _empty_split(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: shutil.rmtree(f / "train"), r"train does not exist: give a folder"),
        (lambda f: shutil.rmtree(f / "val"), r"val does not exist, and neither does test: hold out"),
        (lambda f: _empty_split(f / "train"), r"train is empty: put"),
        (lambda f: _empty_split(f / "val"), r"val is empty: put"),
        (lambda f: shutil.rmtree(f / "val/dog"), r"train/dog has no counterpart in val: add"),
        (lambda f: shutil.rmtree(f / "train/dog"), r"val/dog has no counterpart in train: add"),
        (lambda f: (f / "train/dog/0.png").unlink(), r"train/dog holds no images: add some"),
        (lambda f: _truncate(f / "train/cat/0.jpg"), r"cat/0\.jpg is not a readable image or is truncated: replace"),
        (lambda f: _truncate(f / "train/dog/0.png"), r"dog/0\.png is not a readable image or is truncated: replace"),
        (lambda f: (f / "val/cat/0.jpg").write_text("<html>"), r"val/cat/0\.jpg is not a readable image"),
    ],
)
def test_mistakes_are_one_line(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"imagefolder:{folder}", "cls").check("cls")
    assert "\n" not in str(caught.value)


def test_wrong_locations_and_tasks_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="names no folder: write imagefolder:DIR"):
        open_data("imagefolder", "cls")
    with pytest.raises(DataError, match="nowhere does not exist: give a folder"):
        open_data(f"imagefolder:{folder / 'nowhere'}", "cls")
    with pytest.raises(DataError, match=r"0\.jpg is a file: give a folder"):
        open_data(f"imagefolder:{folder / 'train/cat/0.jpg'}", "cls")
    with pytest.raises(DataError, match="no annotations for task seg: imagefolder supports cls"):
        open_data(f"imagefolder:{folder}", "cls").check("seg")


def test_a_file_that_changes_after_the_check_is_bad_data(folder: Path) -> None:
    data = open_data(f"imagefolder:{folder}", "cls")
    data.check("cls")
    (folder / "train/cat/0.jpg").write_bytes(b"gone")
    with pytest.raises(BadDataFailure, match=r"cat/0\.jpg"):
        data.sample("train", 0)


def test_fingerprint_depends_on_the_content_and_not_on_the_location(folder: Path, tmp_path: Path) -> None:
    before = open_data(f"imagefolder:{folder}", "cls").fingerprint()
    moved = folder.rename(tmp_path / "moved")
    assert open_data(f"imagefolder:{moved}", "cls").fingerprint() == before
    Image.new("RGB", (6, 5)).save(moved / "val/cat/0.jpg")
    edited = open_data(f"imagefolder:{moved}", "cls").fingerprint()
    (moved / "train/cat/0.jpg").rename(moved / "train/dog/9.jpg")
    assert len({before, edited, open_data(f"imagefolder:{moved}", "cls").fingerprint()}) == 3


@pytest.mark.real
def test_cifar10() -> None:
    folder = real_data_folder("cifar10")
    data = open_data(f"imagefolder:{folder}/cifar10", "cls")
    data.check("cls")
    assert len(data.classes("cls")) == 10
    assert (data.size("train"), data.size("held-out")) == (6000, 1500)
    assert data.sample("train", 0).image.shape == (32, 32, 3)


def test_an_indexed_folder_is_the_same_until_something_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(check: bool = True) -> tuple[object, ...]:
        data = open_data(f"imagefolder:{folder}", "cls")
        if check:
            data.check("cls")
        samples = [data.sample(split, i) for split in ("train", "held-out") for i in range(data.size(split))]
        return data.fingerprint(), [(s.category, s.image.tolist()) for s in samples]

    monkeypatch.setenv("AIOP_CACHE", str(tmp_path / "cache"))
    plain = read()
    monkeypatch.setattr("workers.data.image_lists._INDEXED_IMAGES", 0)
    assert read() == plain
    with monkeypatch.context() as patch:
        patch.setattr("workers.data.image_lists._scan", lambda path: pytest.fail("listed again"))
        assert read() == read(check=False) == plain
    monkeypatch.setattr("workers.data.imagefolder._MAX_HASHED_IMAGES", 0)
    large = read()
    assert large == read()
    assert large[0] != plain[0]  # sizes are hashed, not bytes
    Image.new("RGB", (60, 50), (1, 2, 3)).save(folder / "train/cat/0.jpg")  # in place: the folder's time stays
    changed = read()
    assert len({large[0], changed[0]}) == 2
    Image.new("RGB", (6, 5)).save(folder / "train/cat/2.jpg")
    assert len(read()[1]) == len(plain[1]) + 1  # type: ignore[arg-type]
