"""Find JPEGs that end before their last block: decoders fill the rest with one colour, without an error."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_START_OF_SCAN, _END = 0xDA, 0xD9
_PROGRESSIVE = 0xC2
# Inside a scan, FF is followed by 00 (a byte FF), a restart marker, or the next FF; all else ends the scan.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_NOISE = np.random.default_rng(0).integers(0, 255, 256, dtype=np.uint8).tobytes()  # without FF
_TAIL = 4  # pixels of an eighth of the size: two blocks of the largest kind
_COEFFICIENTS = 64  # of a block


def find_end(content: bytes) -> int | None:
    """Return where the end marker of the first image is; None if its data break off before one."""
    position = 0
    for position, marker in _markers(content):
        if marker == _END:
            return position
    return None


def breaks_off(content: bytes, pixels: NDArray[np.uint8] | None = None) -> bool:
    """Return whether data at the end are missing although there is an end marker. Raises OSError as Pillow does.

    Decoders ignore bytes between the last block and the end marker, so bytes inserted there change the picture only if
    blocks are missing. All is decoded at an eighth of the size, and only if the last blocks are equal. Of a progressive
    JPEG, whole scans may be missing too. pixels: the decoded (H, W, 3) image, if known.
    """
    end = find_end(content)
    if end is None:
        return False
    if _lacks_scans(content):
        return True
    if pixels is not None and not _ends_in_one_colour(pixels, 8 * _TAIL):
        return False
    seen = _decode_small(content)
    if not _ends_in_one_colour(seen, _TAIL):
        return False
    return not np.array_equal(seen, _decode_small(content[:end] + _more_blocks(content[:end]) + content[end:]))


def _ends_in_one_colour(pixels: NDArray[np.uint8], width: int) -> bool:
    """Return whether the last pixels are equal, as those of missing blocks are. True for images that are narrower."""
    return pixels.shape[1] < width or not bool((pixels[-1, -width:] != pixels[-1, -1]).any())


def _markers(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield position and kind of each marker of the first image, without those inside a scan."""
    position = 2
    while position + 1 < len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        yield position, marker
        if marker == _END:
            return
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            following = _AFTER_SCAN.search(content, position)
            if following is None:
                return
            position = following.start()


def _lacks_scans(content: bytes) -> bool:
    """Return whether a progressive JPEG has no scan with the last bit of some coefficient of some component."""
    exact: dict[int, set[int]] = {}
    for position, marker in _markers(content):
        if marker == _PROGRESSIVE:
            exact = {content[position + 10 + 3 * i]: set() for i in range(content[position + 9])}
        elif marker == _START_OF_SCAN and exact:
            count = content[position + 4]
            first, last, bits = content[position + 5 + 2 * count : position + 8 + 2 * count]
            for i in range(count if not bits & 15 else 0):
                exact.setdefault(content[position + 5 + 2 * i], set()).update(range(first, last + 1))
    return any(len(known) < _COEFFICIENTS for known in exact.values())


def _more_blocks(content: bytes) -> bytes:
    """Return data that a decoder takes for further blocks, also after further restart markers."""
    last = content[max((found.start() + 1 for found in _RESTART.finditer(content)), default=-1)]
    following = (last + 1 & 7 if 0xD0 <= last <= 0xD7 else 0) | 0xD0
    restarts = (0xD0 | (following + i & 7) for i in range(8))
    return _NOISE + b"".join(b"\xff" + bytes([marker]) + _NOISE for marker in restarts)


def _decode_small(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        pixels: NDArray[np.uint8] = np.array(image.convert("RGB"), dtype=np.uint8)
    return pixels
