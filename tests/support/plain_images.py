"""Image files whose bytes are the same with every version of every library, and images that are easy to recognise."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # colour type of a PNG by its number of channels


def write_png(path: Path, pixels: NDArray[Any]) -> Path:
    """Write (H, W) or (H, W, C) pixels of 8 or 16 bits, uncompressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    high = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(*pixels.shape[:2], -1)
    height, width, channels = high.shape
    rows = b"".join(b"\0" + row.tobytes() for row in high)
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, _COLOURS[channels], 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks))
    return path


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def red_box(size: tuple[int, int], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return a blue image of (width, height) with a red rectangle x0, y0, x1, y1."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    pixels[..., 2] = 200
    pixels[box[1] : box[3], box[0] : box[2]] = (200, 0, 0)
    return pixels


def save_turned(path: Path, upright: NDArray[np.uint8], orientation: int, **options: Any) -> Path:
    """Store an image such that viewers that apply its EXIF orientation show it as `upright`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(as_stored(upright, orientation)).save(path, exif=exif, **options)
    return path


def as_stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return the pixels that are stored for an upright image (EXIF 2.32, tag 0x0112), by Pillow's transpositions."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation not in undo:
        return upright
    return np.array(Image.fromarray(upright).transpose(undo[orientation]))
