"""Deep, transparent and cut images, and every format that Pillow reads, are read rightly or refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from tests.support.plain_images import red_box, write_png
from tests.support.small_coco import edit, write_small_coco
from workers.data import DataWarning, open_data
from workers.data.deep_images import bits_in_use, has_transparency
from workers.data.files import decode_image, verify_image
from workers.data.image_formats import IMAGE_SUFFIXES
from workers.data.jpeg_stream import breaks_off, find_end
from workers.errors import DataError


def noise(side: int = 96) -> Image.Image:
    """Return a picture that is different everywhere."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, **options)
    return file.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bits_of_deep_images_are_used(tmp_path: Path, bits: int, channels: int) -> None:
    highest = 2**bits - 1
    values = np.linspace(0, highest, 24).astype(np.uint16).reshape(4, 6)
    pixels = np.dstack([values] * min(channels, 3) + [np.full_like(values, 65535)] * (channels == 4))
    path = write_png(tmp_path / "a.png", pixels)
    assert bits_in_use([path]) == bits
    seen = decode_image(path, bits=bits)
    assert np.array_equal(seen, np.dstack([values >> (bits - 8)] * 3))


def test_all_images_of_a_set_are_scaled_alike(tmp_path: Path) -> None:
    """A dark image stays darker than a bright one."""
    for number, name in enumerate(("train/a", "train/b", "val/a", "val/b")):
        write_png(tmp_path / name / "0.png", np.full((4, 4), 1000 * (number + 1), dtype=np.uint16))
    data = open_data(f"imagefolder:{tmp_path}", "cls")
    data.check("cls")
    seen = [int(data.sample(split, i).image[0, 0, 0]) for split in ("train", "held-out") for i in (0, 1)]
    assert seen == [62, 125, 187, 250]


def test_deep_tiff_and_floating_point(tmp_path: Path) -> None:
    deep = np.full((4, 6), 3000, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.tif")
    assert bits_in_use([tmp_path / "a.tif"]) == 12
    assert (decode_image(tmp_path / "a.tif", bits=12) == 3000 >> 4).all()
    Image.fromarray(deep.astype(np.float32) / 4095).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif is not a readable image"):
        decode_image(tmp_path / "f.tif")


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "webp", "tRNS"])
def test_transparent_pixels_keep_their_colour(tmp_path: Path, kind: str) -> None:
    clear = np.zeros((4, 6), dtype=np.uint8)
    path, grey = tmp_path / "a.png", np.full((4, 6), 60, dtype=np.uint8)
    expected = (60, 60, 60)
    match kind:
        case "RGBA":
            write_png(path, np.dstack([grey, grey // 2, grey // 3, clear]))
            expected = (60, 30, 20)
        case "LA":
            write_png(path, np.dstack([grey, clear]))
        case "palette":
            image = Image.new("P", (6, 4), 1)
            image.putpalette([0, 0, 0, 60, 60, 60])
            image.save(path, transparency=1)
        case "tRNS":
            Image.fromarray(grey).save(path, transparency=60)
        case "webp":
            path = tmp_path / "a.webp"
            Image.fromarray(np.dstack([grey] * 3 + [clear])).save(path, lossless=True, exact=True)
    assert (decode_image(path) == expected).all()
    assert has_transparency([path])
    assert not has_transparency([write_png(tmp_path / "o.png", np.dstack([grey] * 3 + [clear + 255]))])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("size", [8, 24, 96, 200])
def test_whole_jpegs_are_accepted(tmp_path: Path, progressive: bool, subsampling: int, size: int) -> None:
    for number, image in enumerate(
        (noise(size), noise(size).convert("L"), Image.new("RGB", (size, size), "white"), Image.new("L", (size, 3)))
    ):
        content = jpeg(image, progressive=progressive, **({"subsampling": subsampling} if image.mode == "RGB" else {}))
        assert not breaks_off(content)
        path = tmp_path / f"{number}.jpg"
        for ending in (b"", b"camera", b"\0" * 1000):
            path.write_bytes(content + ending)
            verify_image(path)
            decode_image(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
@pytest.mark.parametrize("ending", ["cut", "end marker", "zeros", "noise"])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_jpegs_that_break_off_are_refused(tmp_path: Path, options: dict[str, Any], ending: str, share: float) -> None:
    content = jpeg(noise(), **options)
    start = content.rindex(b"\xff\xda") if "progressive" not in options else content.index(b"\xff\xda")
    cut = content[: start + int((len(content) - start) * share * (0.1 if "progressive" in options else 1))]
    missing = len(content) - len(cut)
    path = tmp_path / "a.jpg"
    path.write_bytes(cut + {"cut": b"", "end marker": b"\xff\xd9", "zeros": b"\0" * missing, "noise": b"\x7f"}[ending])
    for read in (verify_image, decode_image):
        with pytest.raises(DataError, match=r"a\.jpg is not a readable image or is truncated: replace or remove it"):
            read(path)


def test_an_embedded_thumbnail_does_not_end_a_jpeg() -> None:
    content = jpeg(noise(), comment=jpeg(noise(16)))
    assert find_end(content) == len(content) - 2
    assert find_end(content[:-2]) is None


ALIKE = ["jpg", "jpeg", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "tga", "jp2", "qoi", "ico"]
ALIKE += ["avif"] if features.check("avif") else []


@pytest.mark.parametrize("suffix", ALIKE)
def test_every_format_is_used_everywhere(tmp_path: Path, suffix: str) -> None:
    pixels = red_box((16, 16), (4, 4, 12, 12))

    def save(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        (image.convert("L") if suffix == "pgm" else image).save(
            path, **({"sizes": [(16, 16)]} if suffix == "ico" else {})
        )

    for name in ("train/a", "train/b", "val/a", "val/b"):
        save(tmp_path / "folders" / name / f"0.{suffix.upper()}")
    for subset in ("train", "val"):
        save(tmp_path / "masks/images" / subset / f"0.{suffix}")
        write_png(tmp_path / "masks/annotations" / subset / "0.png", (pixels[..., 0] > 0).astype(np.uint8))
    coco = write_small_coco(tmp_path / "coco")
    for part in ("train", "val"):
        (coco / "images" / part / "1.png").unlink()
        save(coco / "images" / part / f"1.{suffix}")
        edit(
            coco / f"annotations/instances_{part}.json",
            lambda c: c["images"][0].update(file_name=f"1.{suffix}", width=16, height=16),
        )
    for spec, task in (("imagefolder:folders", "cls"), ("masks:masks", "seg"), ("coco:coco", "det")):
        kind, _, where = spec.partition(":")
        data = open_data(f"{kind}:{tmp_path / where}", task)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataWarning)
            data.check(task)
        assert data.size("train") == 2 if task != "seg" else 1
        seen = data.sample("train", 0).image
        assert seen.shape == (16, 16, 3)
        assert int(seen[8, 8, 0]) > int(seen[1, 1, 0]) + 30


def test_what_needs_other_programs_is_no_image() -> None:
    assert not IMAGE_SUFFIXES & {".eps", ".h5", ".mpg", ".grib", ".pdf", ".txt", ".json", ".npy", ".mp4", ""}
    assert {".jpg", ".png", ".webp", ".bmp", ".tif", ".ppm", ".pgm"} <= IMAGE_SUFFIXES


def _rows(path: Path) -> NDArray[np.uint8]:
    return decode_image(path)


@pytest.mark.parametrize("suffix", ["bmp", "gif", "tif", "webp", "ppm", "png"])
def test_other_files_cut_short_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (verify_image, _rows):
        with pytest.raises(DataError, match=rf"a\.{suffix} is not a readable image or is truncated"):
            read(path)
