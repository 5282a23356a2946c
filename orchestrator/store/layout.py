"""Locations inside a store, which all machines can reach: spool, artifacts, checkpoints, searches, weights."""

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


def searches_uri(store: str) -> str:
    """Return the location of the records of searches."""
    return _part(store, "_searches")


def weights_uri(store: str) -> str:
    """Return the location of the weights of verified networks."""
    return _part(store, "_weights")


def _part(store: str, name: str) -> str:
    store = store.removeprefix("file://").rstrip("/")
    return f"{store}/{name}" if in_object_store(store) else str(Path(store, name).resolve())
