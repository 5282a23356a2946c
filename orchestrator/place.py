"""Where things that belong to a store lie."""

from __future__ import annotations

import os
from pathlib import Path


def beside(store: str, what: str) -> Path:
    """The folder `_WHAT` in a local store; for an object store, one in the user's cache.

    What lies there needs an atomic rename, which object stores lack.
    """
    if "://" not in store:
        return Path(store) / f"_{what}"
    name = "".join(c if c.isalnum() else "-" for c in store)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiop-orchestrator" / what / name
