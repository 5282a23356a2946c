"""The base class of every error that a user of this project can cause and fix, and how other errors are quoted."""

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


class AIOPError(Exception):
    """A mistake the user can fix; its text is one line: what is wrong, where, what to do."""


def write_problem(error: OSError, remedy: str) -> str:
    """Return why something cannot be written and what to do: `remedy`, or free space if the disk is full."""
    text = one_line(error) if error.strerror is None else error.strerror
    full = error.errno in _FULL or "No space left" in text  # libraries do not always pass the number on
    return f"{text}: {'free space there, or write to another disk' if full else remedy}"


def one_line(error: BaseException) -> str:
    """Return the text of an error in one line of at most 200 characters, or its kind if it has no text."""
    return " ".join(str(error).split())[:200] or type(error).__name__
