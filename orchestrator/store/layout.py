"""Where things that belong to a store lie: in it, so that every machine that reaches it reaches them."""

from __future__ import annotations

from pathlib import Path

from workers.storage.spool import in_object_store


def located(store: str) -> str:
    """The store as a process that runs in another folder finds it: a local path is made absolute."""
    return store if in_object_store(store) else str(Path(store.removeprefix("file://")).absolute())


def spool_of(store: str) -> str:
    """Where reports wait for their commit."""
    return _part(store, "_spool")


def artifacts_of(store: str) -> str:
    """Where what cheap labels start from lies."""
    return _part(store, "_artifacts")


def _part(store: str, name: str) -> str:
    store = store.removeprefix("file://").rstrip("/")
    return f"{store}/{name}" if in_object_store(store) else str(Path(store, name).resolve())
