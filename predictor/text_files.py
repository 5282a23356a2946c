"""Text files as people's programs write them, in UTF-8 or UTF-16, with or without a byte-order mark; JSON in them."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
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


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError, also for what the store's columns and UTF-8 cannot hold.

    These are integers of more than 64 bits and half surrogate pairs.
    """
    try:
        value = json.loads(text, parse_int=_integer)
        if _SURROGATE.search(text if isinstance(text, str) else text.decode("latin-1")):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("has too many lists or objects inside each other") from None
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) >= 2**63:
        raise ValueError(f"{digits[:20]} is an integer of more than 64 bits")
    return value
