"""The compressed pixels of a PNG, checked before a decoder that a damaged file would crash."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_FILTERS = bytes(range(5))
# Of the passes of an interlaced image (PNG 1.2, section 2.6): first column and row, steps between columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def plain_png(content: bytes) -> bytes | None:
    """Return a PNG with the header and the pixels of this one alone; None unless every pixel can be decoded.

    torchvision ends the process at a wrong checksum, a missing row or an unknown filter. What is not about pixels, such
    as text, times and the orientation, is left out.
    """
    header, pixels = b"", list[bytes]()
    for kind, body, fits in _chunks(content):
        if not fits:
            return None
        if kind == b"IHDR" and not header:
            header = body
        elif kind == b"IDAT":
            pixels.append(body)
    stream = b"".join(pixels)
    if len(header) != 13 or not _is_whole(header, stream):
        return None
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield kind, body and whether the checksum fits, of each chunk up to the end."""
    at = len(_SIGNATURE)
    while content.startswith(_SIGNATURE) and at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        yield kind, body, content[at + 8 + length : at + 12 + length] == _checksum(kind + body)
        if kind == b"IEND":
            return
        at += 12 + length


def _is_whole(header: bytes, stream: bytes) -> bool:
    """Return whether the stream holds all rows, each with a known filter, and its checksum fits."""
    width, height, depth, colour, compression, method, interlace = struct.unpack(">IIBBBBB", header)
    if not width or not height or colour not in _CHANNELS or compression or method or interlace > 1:
        return False
    bits = depth * _CHANNELS[colour]
    rows = _row_lengths(width, height, bits, interlace)
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stream, sum(count * length for count, length in rows) + 1)
    except zlib.error:
        return False
    if not inflater.eof or len(data) != sum(count * length for count, length in rows):
        return False
    at = 0
    for count, length in rows:
        if data[at : at + count * length : length].translate(None, _FILTERS):
            return False
        at += count * length
    return True


def _row_lengths(width: int, height: int, bits: int, interlace: int) -> list[tuple[int, int]]:
    """Return (rows, bytes of a row with its filter) of each pass. bits: of a pixel."""
    passes = _PASSES if interlace else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return [(rows, 1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0 and rows > 0]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + _checksum(kind + body)


def _checksum(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))
