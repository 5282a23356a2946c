"""The folder for what a machine keeps of data sets: decoded images and indexes. It may be removed at any time."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)


def node_folder() -> Path:
    """Return $AIOP_CACHE, or a folder of this user among the temporary files. The former may not exist yet."""
    named = os.environ.get("AIOP_CACHE")
    return Path(named) if named else _temporary_folder(Path(tempfile.gettempdir()), os.getuid())


@cache
def _temporary_folder(parent: Path, user: int) -> Path:
    """Return a folder that only `user` can write; one of this process if another user has taken the name."""
    folder = parent / f"aiop-cache-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid == user and stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022:
        return folder
    log.warning("%s can be written by other users: every process decodes images again; set AIOP_CACHE", folder)
    return Path(tempfile.mkdtemp(dir=parent))
