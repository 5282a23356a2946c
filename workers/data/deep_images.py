"""What a data set's images need that the file of one image does not say: bits in use, and transparency."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from workers.data.files import DECODE_ERRORS, FULL_DEPTH, open_image, read_deep, read_png_header
from workers.data.image_formats import JPEG_SUFFIXES
from workers.errors import DataError

_OPENED = 1000  # files whose headers are read, evenly chosen
_DECODED = 100  # deep images whose values are read, evenly chosen
_DEPTHS = (8, 10, 12, 14, FULL_DEPTH)
_EIGHT_BITS = frozenset({".bmp", ".gif", ".webp"})


def bits_in_use(paths: Iterable[Path]) -> int:
    """Return how many bits the deep images of a data set use: cameras often store 12 in files of 16.

    All images are scaled alike, so that dark ones stay darker than bright ones. 16 if no image is deep.
    """
    deep = [path for path in _evenly(list(paths), _OPENED) if _may_be_deep(path)]
    highest = -1
    for path in _evenly(deep, _DECODED):
        try:
            values = read_deep(path)
        except DataError:
            continue  # the check names it
        if values is not None and values.size:
            highest = max(highest, int(values.max()))
            if highest >= 1 << _DEPTHS[-2]:
                break
    if highest < 0:
        return FULL_DEPTH
    return next((bits for bits in _DEPTHS if highest < 1 << bits), highest.bit_length())


def has_transparency(paths: Iterable[Path]) -> bool:
    """Return whether an image of a data set has a pixel that is not opaque."""
    return any(_is_transparent(path) for path in _evenly(list(paths), _OPENED))


def with_reading(content: str, paths: Sequence[Path], bits: int) -> str:
    """Return the fingerprint of a data set: that of its content, or another one if images are read in a special way.

    bits: from `bits_in_use`.
    """
    notes = [f"{bits} bits"] if bits != FULL_DEPTH else []
    if has_transparency(paths):
        notes.append("colours of transparent pixels")
    return hashlib.sha256(" ".join([content, *notes]).encode()).hexdigest()[:16] if notes else content


def _evenly(paths: Sequence[Path], most: int) -> list[Path]:
    """Return at most so many files that may be deep or transparent."""
    candidates = [path for path in paths if path.suffix.lower() not in JPEG_SUFFIXES]
    return candidates[:: max(1, -(-len(candidates) // most))]


def _may_be_deep(path: Path) -> bool:
    if path.suffix.lower() == ".png":
        try:
            return read_png_header(path)[0] > 8
        except (OSError, DataError):
            return False
    return path.suffix.lower() not in _EIGHT_BITS


def _is_transparent(path: Path) -> bool:
    try:
        if path.suffix.lower() == ".png" and not _png_has_transparency(path):
            return False
        with open_image(path) as image:
            if not image.has_transparency_data:
                return False
            return bool((np.array(image.convert("RGBA").getchannel("A")) < 255).any())
    except (*DECODE_ERRORS, DataError):
        return False  # the check names it


def _png_has_transparency(path: Path) -> bool:
    """Return whether a PNG has an alpha channel, or perhaps a transparent colour, by its header."""
    _, colour = read_png_header(path)
    if colour in (4, 6):
        return True
    with path.open("rb") as file:
        start = file.read(4096)
    return b"tRNS" in start
