"""The locations of a store's spool and artifacts: inside the store, so that all machines can reach them."""

from __future__ import annotations

from pathlib import Path

from workers.storage.spool import in_object_store


def absolute_uri(store: str) -> str:
    """Return the store's URI with a local path made absolute, for processes that run in another folder."""
    return store if in_object_store(store) else str(Path(store.removeprefix("file://")).absolute())


def spool_uri(store: str) -> str:
    """Return the location of reports that wait to be committed."""
    return _part(store, "_spool")


def artifacts_uri(store: str) -> str:
    """Return the location of shared weights and shared heads."""
    return _part(store, "_artifacts")


def checkpoints_uri(store: str) -> str:
    """Return the location of checkpoints of unfinished labels."""
    return _part(store, "_checkpoints")


def _part(store: str, name: str) -> str:
    store = store.removeprefix("file://").rstrip("/")
    return f"{store}/{name}" if in_object_store(store) else str(Path(store, name).resolve())
