"""What a fuzz test knows about a reader of files or of users' texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Read = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader and the input that it is given.

    valid: input that must be accepted. inputs: returns spoilt input of the same kind, bytes or text. open: is called
    once with an empty folder and returns what reads one input, which may write it into the folder first. share: of the
    examples, for readers that take long.
    """

    name: str
    valid: bytes | str
    inputs: Callable[[], st.SearchStrategy[Any]]
    open: Callable[[Path], Read]
    share: float = 1.0


READERS: dict[str, Callable[[], Reader]] = {}


def reader(make: Callable[[], Reader]) -> Callable[[], Reader]:
    """Decorator: register a reader under the name of the function that makes it, when a test asks for it."""
    READERS[make.__name__.replace("_", "-")] = cache(make)
    return make


def file_reader(folder: Path, name: str, read: Callable[[Path], object]) -> Read:
    """Return what writes its input to a file of this name and then reads it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)

    def write_and_read(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return write_and_read
