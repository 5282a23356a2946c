"""Images of every kind of file are decoded as Pillow decodes them, upright, or refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from workers.data.base import Instance, Sample
from workers.data.files import _torchvision_knows, decode_image, read_header, verify_image
from workers.data.orientation import turn_pixels, turn_sample
from workers.errors import DataError

ORIENTATIONS = range(1, 9)


def picture(mode: str = "RGB") -> Image.Image:
    smooth = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(smooth).resize((40, 24), Image.Resampling.BICUBIC).convert(mode)


def with_orientation(path: Path, image: Image.Image, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "1"])
def test_pixels_are_those_of_pillow(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    try:
        picture(mode).save(path)
    except OSError:
        pytest.skip(f"no {suffix} has mode {mode}")
    with Image.open(path) as image:
        assert np.array_equal(decode_image(path), np.array(image.convert("RGB")))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_are_turned_as_viewers_turn_them(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = with_orientation(tmp_path / f"a.{suffix}", picture(), orientation)
    with Image.open(path) as image:
        upright, stored = np.array(ImageOps.exif_transpose(image)), np.array(image)
    assert np.array_equal(decode_image(path), upright)
    assert np.array_equal(decode_image(path, upright=False), stored)
    assert np.array_equal(turn_pixels(stored, orientation), upright)
    for header in (read_header(path), verify_image(path)):
        assert header.size == (upright.shape[1], upright.shape[0])
        assert header.stored == (40, 24)


def test_transparent_pixels_keep_their_colour_also_in_a_turned_image(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    image.putpixel((0, 0), (7, 8, 9, 0))
    path = with_orientation(tmp_path / "a.png", image, 6)
    pixels = decode_image(path)
    assert pixels.shape == (4, 2, 3)
    assert pixels[0, 1].tolist() == [7, 8, 9]
    assert pixels[3, 0].tolist() == [255, 0, 0]


def test_a_thumbnail_does_not_hide_the_colours_of_its_image(tmp_path: Path) -> None:
    """The embedded grey JPEG comes first in the file."""
    thumbnail = io.BytesIO()
    picture("L").save(thumbnail, "JPEG")
    path = tmp_path / "a.jpg"
    picture("CMYK").save(path, comment=thumbnail.getvalue())
    with Image.open(path) as image:
        assert np.array_equal(decode_image(path), np.array(image.convert("RGB")))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    picture().resize((400, 300)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"truncated: replace or remove it$"):
        decode_image(path)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_annotations_of_the_stored_image_turn_with_it(orientation: int) -> None:
    mask = np.zeros((24, 40), dtype=np.bool_)
    mask[3:9, 20:35] = True
    joints = np.array([[20, 3, 2], [34, 8, 1]], dtype=np.float32)  # the centres of two opposite corners of the mask
    ids = np.where(mask, 7, 0)
    instance = Instance(7, mask, (20.0, 3.0, 35.0, 9.0), joints)
    sample = Sample(
        np.repeat(ids[..., None], 3, 2).astype(np.uint8), None, ids.astype(np.uint8), ids.astype(np.int32), (instance,)
    )
    turned = turn_sample(sample, orientation)
    (seen,) = turned.instances
    assert seen.mask is not None
    assert seen.joints is not None
    rows, columns = np.nonzero(seen.mask)
    assert seen.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert {tuple(point) for point in seen.joints[:, :2]} <= set(zip(columns.tolist(), rows.tolist(), strict=True))
    assert np.array_equal(turned.image[..., 0] == 7, seen.mask)
    assert np.array_equal(turned.semantic == 7, seen.mask)
    assert np.array_equal(turned.panoptic == 7, seen.mask)


def test_a_decompression_bomb_is_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture("L").save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">2I", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable image"):
        decode_image(path)
    assert not _torchvision_knows(bytes(content))
    picture().save(tmp_path / "b.jpg")
    jpeg = bytearray((tmp_path / "b.jpg").read_bytes())
    assert _torchvision_knows(bytes(jpeg))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">2H", 60_000, 60_000)
    assert not _torchvision_knows(bytes(jpeg))
