"""Label images: one class id per pixel, as stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.data.base import VOID
from workers.data.files import DECODE_ERRORS, exif_orientation, open_image, read_header, read_png_header, unreadable
from workers.data.orientation import turn_pixels
from workers.errors import DataError

LABEL_SUFFIXES = frozenset({".png", ".bmp", ".gif", ".pgm", ".tif", ".tiff"})  # formats that keep every value
_GREY, _PALETTE = 0, 3  # colour types in a PNG header


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the stored class ids, turned as viewers turn the file.

    Pillow scales grey of less than eight bits in a PNG to 0..255, which is reversed here. Raises DataError.
    """
    fault = DataError(f"{path} is not an 8-bit grey or palette PNG: save one class id per pixel, not colours")
    depth, colour = 8, _GREY
    try:
        if path.suffix.lower() == ".png":
            depth, colour = read_png_header(path)
            if colour not in (_GREY, _PALETTE) or depth > 8:
                raise fault
        with open_image(path) as image:
            if path.suffix.lower() == ".png" and image.format != "PNG":
                raise unreadable(path)
            if image.mode not in ("1", "L", "P"):
                raise fault
            orientation, as_stored = exif_orientation(image), image.mode in ("1", "P") and image.format != "PNG"
            stored = np.array(image if as_stored or image.mode == "P" else image.convert("L")).astype(np.uint8)
            turned = image.format == "TIFF"
    except DECODE_ERRORS as error:
        raise unreadable(path) from error
    if colour == _GREY and 0 < depth < 8:
        stored //= np.uint8(255 // (2**depth - 1))
    return stored if turned else turn_pixels(stored, orientation)


def is_turned(path: Path) -> bool:
    """Return whether viewers turn a label image. Raises DataError."""
    return read_header(path).orientation != 1


def occurring_ids(labels: NDArray[np.uint8]) -> frozenset[int]:
    """Return the values that occur."""
    return frozenset(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist())


def known_ids(ids: frozenset[int], ignore: int | None) -> frozenset[int]:
    """Return the ids without those that mean unknown."""
    return ids - {VOID, ignore}
