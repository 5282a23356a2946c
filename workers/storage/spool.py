"""Which spool belongs to a place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from workers.messages.label import AttemptReport
from workers.storage.folder_spool import FolderSpool


class Spool(Protocol):
    """Reports that wait for the committer. What was put is safe, and goes only when it is in the store."""

    place: str  # what `open_spool` opens it by, on any machine

    def put(self, report: AttemptReport, /) -> object:
        """Keep a report durably; the same attempt put twice is one."""
        ...

    def pending(self) -> Sequence[object]:
        """What waits, oldest first."""
        ...

    def read(self, limit: int | None = None) -> list[AttemptReport]:
        """Up to `limit` waiting reports, oldest first."""
        ...

    def remove(self, reports: Iterable[AttemptReport]) -> None:
        """Drop what is in the store."""
        ...


def in_object_store(place: str) -> bool:
    """Whether a place is an object store's address; else it is a folder, which may be written as file://."""
    return "://" in place.removeprefix("file://")


def open_spool(place: str) -> Spool:
    """The spool in a folder, which is made where missing, or in an object store."""
    if not in_object_store(place):
        return FolderSpool(Path(place.removeprefix("file://")))
    from workers.storage.object_spool import ObjectSpool  # a local campaign's workers do without deltalake

    return ObjectSpool(place)
