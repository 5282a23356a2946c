"""Recognise what a file is that has the name of another kind, by its first bytes."""

from __future__ import annotations

# Beginnings, in lower case, with what the file is and what to do.
_KINDS = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself: fetch it with `git lfs pull`"),
    (b"<!doctype html", "a web page, not the file itself: download the raw file"),
    (b"<html", "a web page, not the file itself: download the raw file"),
    (b"pk\x03\x04", "a ZIP archive: unpack it, or export the network if it is one of torch.save"),
    (b"\x80\x02", "a pickle, which is not read: export the network"),
    (b"\x1f\x8b", "gzipped: unpack it"),
)


def foreign_content(content: bytes) -> str | None:
    """Return what a file is instead and what to do, or None. content: its first bytes, or all of it."""
    if not content:
        return "empty and contains no network: export or download it again"
    beginning = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((text for start, text in _KINDS if beginning.startswith(start)), None)
