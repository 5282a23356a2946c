"""Where things that belong to a store lie."""

from __future__ import annotations

import os
from pathlib import Path

from workers.spools import in_object_store


def located(store: str) -> str:
    """The store as a process that runs in another folder finds it: a local path is made absolute."""
    return store if in_object_store(store) else str(Path(store.removeprefix("file://")).absolute())


def spool_of(store: str) -> str:
    """Where reports wait for their commit: in the store, so that every machine that reaches it reaches them."""
    store = store.removeprefix("file://").rstrip("/")
    return f"{store}/_spool" if in_object_store(store) else str(Path(store, "_spool").resolve())


def beside(store: str, what: str) -> Path:
    """The folder `_WHAT` in a local store; for an object store, one in the user's cache.

    What lies there needs an atomic rename, which object stores lack.
    """
    store = store.removeprefix("file://")
    if not in_object_store(store):
        return Path(store) / f"_{what}"
    name = "".join(c if c.isalnum() else "-" for c in store)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiop-orchestrator" / what / name
