"""The folder for what a machine keeps of data sets: decoded images and indexes. It may be removed at any time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def node_folder() -> Path:
    """Return $AIOP_CACHE, or a folder of this user among the temporary files. It may not exist yet."""
    named = os.environ.get("AIOP_CACHE")
    return Path(named) if named else Path(tempfile.gettempdir(), f"aiop-cache-{os.getuid()}")
