"""The base class of every error that a user of this project can cause and fix, and how other errors are quoted."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST = 1500  # characters of a line; what is wrong comes first, and what to do comes last
_BLANKS = str.maketrans(dict.fromkeys("\n\r\t\v\f\x85\u2028\u2029", " "))


class AIOPError(Exception):
    """A mistake the user can fix; its text is one line: what is wrong, where, what to do.

    Messages quote files and options. So characters that terminals do not print are escaped, and a long line loses its
    middle.
    """

    def __init__(self, text: str = "", details: Sequence[str] = ()) -> None:
        """details: of a list of problems, one line each, which are shown indented below the text."""
        super().__init__("\n  ".join(map(shown, (text, *details))))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the text alone, because subclasses take other arguments."""
        return _restored, (type(self), str(self))


def _restored(kind: type[AIOPError], text: str) -> AIOPError:
    error = kind.__new__(kind)
    error.args = (text,)
    return error


def shown(text: str) -> str:
    """Return a text as one line of at most 1,500 characters that every terminal prints."""
    if len(text) > _LONGEST:
        half = _LONGEST // 2 - 4
        text = f"{text[:half]} [...] {text[-half:]}"
    text = text.translate(_BLANKS)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 6]} [...]"


def write_problem(error: OSError, remedy: str) -> str:
    """Return why something cannot be written and what to do: `remedy`, or free space if the disk is full."""
    text = one_line(error) if error.strerror is None else error.strerror
    full = error.errno in _FULL or "No space left" in text  # libraries do not always pass the number on
    return f"{text}: {'free space there, or write to another disk' if full else remedy}"


def one_line(error: BaseException) -> str:
    """Return the text of an error in one line of at most 200 characters, or its kind if it has no text."""
    return " ".join(str(error).split())[:200] or type(error).__name__
