"""Find JPEGs that end before their last block: decoders fill the rest with one colour, without an error."""

from __future__ import annotations

import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_START_OF_SCAN, _END = 0xDA, 0xD9
# Inside a scan, FF is followed by 00 (a byte FF), a restart marker, or the next FF; all else ends the scan.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_NOISE = np.random.default_rng(0).integers(0, 255, 256, dtype=np.uint8).tobytes()  # without FF
_TAIL = 4  # pixels of an eighth of the size: two blocks of the largest kind


def find_end(content: bytes) -> int | None:
    """Return where the end marker of the first image is; None if its data break off before one."""
    position = 2
    while position + 1 < len(content):
        if content[position] != 0xFF:
            return None
        marker = content[position + 1]
        if marker == _END:
            return position
        if marker == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            following = _AFTER_SCAN.search(content, position)
            if following is None:
                return None
            position = following.start()
    return None


def breaks_off(content: bytes) -> bool:
    """Return whether the blocks at the end are missing although there is an end marker. Raises OSError as Pillow does.

    Decoders ignore bytes between the last block and the end marker, so bytes inserted there change the picture only if
    blocks are missing. All is decoded at an eighth of the size, and the second time only if the last blocks are equal.
    """
    end = find_end(content)
    if end is None:
        return False
    seen = _decode_small(content)
    if seen.shape[1] >= _TAIL and bool((seen[-1, -_TAIL:] != seen[-1, -1]).any()):
        return False
    return not np.array_equal(seen, _decode_small(content[:end] + _NOISE + content[end:]))


def may_break_off(pixels: NDArray[np.uint8]) -> bool:
    """Return whether the last blocks of decoded (H, W, 3) pixels are equal, as missing ones are."""
    side = 8 * _TAIL
    return pixels.shape[1] < side or not bool((pixels[-1, -side:] != pixels[-1, -1]).any())


def _decode_small(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        pixels: NDArray[np.uint8] = np.array(image.convert("RGB"), dtype=np.uint8)
    return pixels
