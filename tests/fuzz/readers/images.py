"""Image files of the formats that data sets may have, and label images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.mutation import files, reseal_png
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from workers.data.deep_images import bits_in_use
from workers.data.files import decode_image, read_deep, read_header, verify_image
from workers.data.label_images import read_labels
from workers.errors import DataError

_SIDE = 24


def _pixels(*shape: int, kind: str = "uint8") -> Any:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)


def _encoded(pixels: Any, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def _each(path: Path) -> None:
    """Call everything that reads an image. What one function refuses, the others must accept or refuse too."""
    refused = list[DataError]()
    for read in (verify_image, read_header, decode_image, read_deep, _bits):
        try:
            read(path)
        except DataError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _bits(path: Path) -> int:
    return bits_in_use([path])


def _image(name: str, suffix: str, valid: bytes, reseal: Callable[[bytes], bytes] | None = None) -> Reader:
    def open_reader(folder: Path) -> Read:
        return file_reader(folder, f"image.{suffix}", _each)

    return Reader(name, valid, lambda: files(valid, reseal), open_reader)


@reader
def image_jpeg() -> Reader:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _image("jpeg", "jpg", _encoded(_pixels(_SIDE, _SIDE, 3), "JPEG", exif=exif, quality=80))


@reader
def image_jpeg_progressive() -> Reader:
    return _image("jpeg", "jpg", _encoded(_pixels(_SIDE, _SIDE), "JPEG", progressive=True))


@reader
def image_png() -> Reader:
    return _image("png", "png", _encoded(_pixels(_SIDE, _SIDE, 4), "PNG"), reseal_png)


@reader
def image_png_deep() -> Reader:
    return _image("png", "png", _encoded(_pixels(_SIDE, _SIDE, kind="uint16"), "PNG"), reseal_png)


@reader
def image_png_palette() -> Reader:
    out = io.BytesIO()
    Image.fromarray(_pixels(_SIDE, _SIDE, 3)).convert("P").save(out, "PNG", transparency=0)
    return _image("png", "png", out.getvalue(), reseal_png)


@reader
def image_tiff() -> Reader:
    valid = _encoded(_pixels(_SIDE, _SIDE, 3), "TIFF", tiffinfo={274: 6})
    return _image("tiff", "tif", valid)


@reader
def image_tiff_compressed() -> Reader:
    return _image("tiff", "tif", _encoded(_pixels(_SIDE, _SIDE, kind="uint16"), "TIFF", compression="tiff_lzw"))


@reader
def image_gif() -> Reader:
    return _image("gif", "gif", _encoded(_pixels(_SIDE, _SIDE), "GIF"))


@reader
def image_bmp() -> Reader:
    return _image("bmp", "bmp", _encoded(_pixels(_SIDE, _SIDE, 3), "BMP"))


@reader
def image_webp() -> Reader:
    return _image("webp", "webp", _encoded(_pixels(_SIDE, _SIDE, 3), "WEBP"))


def _labels(suffix: str, valid: bytes, reseal: Callable[[bytes], bytes] | None) -> Reader:
    def open_reader(folder: Path) -> Read:
        return file_reader(folder, f"labels.{suffix}", read_labels)

    def inputs() -> st.SearchStrategy[bytes]:
        return files(valid, reseal)

    return Reader(suffix, valid, inputs, open_reader)


@reader
def labels_png() -> Reader:
    return _labels("png", _encoded(_pixels(_SIDE, _SIDE) % 4, "PNG"), reseal_png)


@reader
def labels_gif() -> Reader:
    return _labels("gif", _encoded(_pixels(_SIDE, _SIDE) % 4, "GIF"), None)


@reader
def labels_tiff() -> Reader:
    return _labels("tif", _encoded(_pixels(_SIDE, _SIDE) % 4, "TIFF"), None)
