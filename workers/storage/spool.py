"""The interface of a spool, and how a spool is opened by its location."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from workers.messages.label import AttemptReport
from workers.storage.folder_spool import FolderSpool


class Spool(Protocol):
    """Reports that wait for the committer. A report is safe once `put` returns, and removed once it is in the store."""

    location: str  # a folder or URI that `open_spool` opens on any machine

    def put(self, report: AttemptReport, /) -> object:
        """Store a report durably. Of the same attempt one report is left: the last one, but never a failure that came
        after a success. A worker may die right after it has put its label, and the driver then reports its death.
        """
        ...

    def pending(self) -> Sequence[object]:
        """Return the names of the reports that wait, oldest first."""
        ...

    def read(self, limit: int | None = None) -> list[AttemptReport]:
        """Return up to `limit` waiting reports, oldest first."""
        ...

    def remove(self, reports: Iterable[AttemptReport]) -> None:
        """Remove reports that are in the store."""
        ...


def in_object_store(location: str) -> bool:
    """Return whether `location` is the URI of an object store. Otherwise it is a folder, perhaps written as file://."""
    return "://" in location.removeprefix("file://")


def open_spool(location: str) -> Spool:
    """Open the spool in a folder, which is created if missing, or in an object store."""
    if not in_object_store(location):
        return FolderSpool(Path(location.removeprefix("file://")))
    from workers.storage.object_spool import ObjectSpool  # workers of a local campaign need no deltalake

    return ObjectSpool(location)
