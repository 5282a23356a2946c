"""Decode text files as people's programs write them: UTF-8 or UTF-16, with or without a byte-order mark."""

from __future__ import annotations

import codecs
from pathlib import Path

# The marks of UTF-32 come first, because that of UTF-16 begins them.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes) -> str:
    """Return the text of a file without its byte-order mark. Raises ValueError with the reason in one line.

    Other encodings are not guessed: a wrong guess changes names without a word.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not {error.encoding.upper()}: save it as UTF-8") from None
    if "\0" in text:  # UTF-16 without a mark, or no text at all
        raise ValueError("has NUL characters: save it as UTF-8")
    return text


def read_text(path: Path) -> str:
    """Return the text of a file. Raises OSError, and ValueError as `decode` does."""
    return decode(path.read_bytes())
