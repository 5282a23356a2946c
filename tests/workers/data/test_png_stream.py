"""Damaged PNGs are refused. In torchvision they would end the process."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workers.data.files import decode_image, open_folder, read_deep, verify_image
from workers.data.label_images import read_labels
from workers.data.png_stream import plain_png
from workers.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _pixels(channels: int, kind: str) -> Any:
    pixels = np.random.default_rng(0).integers(0, 200, (20, 12, channels)).astype(kind)
    return pixels.astype(pixels.dtype.newbyteorder(">"))


def _chunk(kind: bytes, body: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ wrong)


def _png(pixels: Any, damage: str = "") -> bytes:
    """Return a PNG, whose checksums fit unless they are the damage."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    rows = {"rows": rows[: len(rows) // 2], "filter": b"\x09" + rows[1:], "more": rows * 2}.get(damage, rows)
    stream = zlib.compress(rows)
    changed = {"short": stream[: len(stream) // 2], "sum": stream[:-1] + bytes([stream[-1] ^ 1]), "none": b""}
    stream = changed.get(damage, stream)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, colour, 0, 0, 0)
    parts = _chunk(b"IHDR", header), _chunk(b"IDAT", stream, wrong=damage == "checksum"), _chunk(b"IEND", b"")
    return _SIGNATURE + b"".join(parts)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("damage", ["rows", "filter", "short", "sum", "none", "checksum"])
def test_missing_pixels_end_no_process(tmp_path: Path, damage: str, channels: int, kind: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_png(_pixels(channels, kind), damage))
    assert plain_png(path.read_bytes()) is None
    try:
        assert decode_image(path).shape == (20, 12, 3)  # Pillow accepts some of them
    except DataError as error:
        assert "truncated" in str(error)  # noqa: PT017 - both are right
    if kind == "uint16":
        with pytest.raises(DataError):
            read_deep(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_whole_ones_are_decoded(tmp_path: Path, channels: int) -> None:
    path, pixels = tmp_path / "a.png", _pixels(channels, "uint16")
    path.write_bytes(_png(pixels))
    found = read_deep(path)
    assert found is not None
    expected = pixels[..., :3] if channels > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9), (64, 33)])
def test_interlaced_ones_are_whole(size: tuple[int, int]) -> None:
    """Rows of all seven passes, each with a filter: of a black image."""
    width, height = size
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, dx, dy in passes:
        columns, lines = len(range(x, width, dx)), len(range(y, height, dy))
        rows += (b"\0" + bytes(columns)) * lines if columns else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    parts = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")
    content = _SIGNATURE + b"".join(parts)
    with Image.open(io.BytesIO(content)) as image:
        assert not np.array(image).any()
    assert plain_png(content) == content
    assert plain_png(content.replace(zlib.compress(rows), zlib.compress(rows[:-1]))) is None


def test_a_chunk_that_announces_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    content = bytearray(_png(_pixels(1, "uint8")))
    at = content.index(b"IDAT") - 4
    content[at : at + 4] = b"\xff\xff\0\x53"
    (tmp_path / "a.png").write_bytes(content)
    tracemalloc.start()
    try:
        read_labels(tmp_path / "a.png")
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10_000_000


def test_a_file_without_pixels_is_refused(tmp_path: Path) -> None:
    content = _png(_pixels(1, "uint8")).replace(b"IDAT", b"IDiT")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError):
        verify_image(tmp_path / "a.png")


def test_a_tag_of_another_type_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    at = content.index(struct.pack("<HH", 273, 4))  # StripOffsets, of type LONG
    content[at + 2] = 5  # RATIONAL
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError):
        read_labels(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a\0b", "\ud800", "~nobody-has-this-name/x"], ids=["long", "nul", "half", "home"]
)
def test_what_names_no_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="give a folder that holds"):
        open_folder("coco", name, "annotations")
