"""Decoded examples of a data set on a machine's disk, written once and read by all its processes."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from pathlib import Path

from workers.code_version import code_version
from workers.node_folder import node_folder

log = logging.getLogger(__name__)

_ENTRY = 16  # bytes of a table entry: offset + 1 and length, 0 while there is none
_MAX_SHARE = 0.5  # of the free disk space
_UNUSED_S = 7 * 86400  # caches that nobody opened for so long are removed
_PREFIX, _TABLE = "images-", "table"  # names of caches; other folders are never removed


class NodeCache:
    """A file per writing process and a table of where each example is. The page cache keeps what is read often.

    A cache is valid for one version of the code and until the machine restarts, since nothing is flushed to disk. Once
    the files have `limit_mb`, further examples are not stored.
    """

    def __init__(self, content: str, count: int, limit_mb: int) -> None:
        """content: names all that the examples depend on. count: number of examples."""
        boot = _read_text(Path("/proc/sys/kernel/random/boot_id"))
        name = hashlib.sha256("\n".join((content, code_version(), boot, str(count))).encode()).hexdigest()[:24]
        self._folder, self._count, self._limit = node_folder() / f"{_PREFIX}{name}", count, limit_mb * 2**20
        self._table = self._data = -1
        self._owner = 0
        self._readers: dict[int, int] = {}

    def get(self, index: int) -> bytearray | None:
        """Return what was stored for an example, None if nothing was."""
        if not self._is_open():
            return None
        entry = os.pread(self._table, _ENTRY, index * _ENTRY)
        if len(entry) < _ENTRY or not any(entry):
            return None
        place, length = int.from_bytes(entry[:8], "little") - 1, int.from_bytes(entry[8:], "little")
        writer, offset = place >> 40, place & (1 << 40) - 1
        content = bytearray(length)
        try:
            read = os.preadv(self._reader(writer), [content], offset)
        except OSError:
            return None
        return content if read == length else None

    def put(self, index: int, content: bytes) -> None:
        """Store an example, unless the cache is full."""
        if not self._is_open() or self._size() + len(content) > self._limit:
            return
        try:
            offset = os.lseek(self._data, 0, os.SEEK_END)
            if os.write(self._data, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            place = (self._owner << 40 | offset) + 1
            os.pwrite(self._table, place.to_bytes(8, "little") + len(content).to_bytes(8, "little"), index * _ENTRY)
        except OSError as error:
            self._limit = 0
            log.warning(
                "cache %s: cannot be written (%s): images are decoded again each time", self._folder, error.strerror
            )

    def _reader(self, writer: int) -> int:
        if writer not in self._readers:
            self._readers[writer] = os.open(self._folder / f"{writer}.bin", os.O_RDONLY)
        return self._readers[writer]

    def _size(self) -> int:
        """Return the bytes of all files."""
        with os.scandir(self._folder) as files:
            return sum(file.stat().st_size for file in files if file.name.endswith(".bin"))

    def _is_open(self) -> bool:
        """Open the cache in this process, unless it is. Returns False if it cannot be used."""
        if self._owner == os.getpid() or not self._limit:
            return bool(self._limit)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.utime(self._folder)
            self._limit = min(self._limit, self._size() + int(_MAX_SHARE * shutil.disk_usage(self._folder).free))
            self._table = os.open(self._folder / _TABLE, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._table, self._count * _ENTRY)
            self._data = os.open(self._folder / f"{os.getpid()}.bin", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            _remove_unused(self._folder)
        except OSError as error:
            self._limit = 0
            log.warning(
                "cache %s: cannot be used (%s): images are decoded again each time", self._folder, error.strerror
            )
            return False
        self._owner, self._readers = os.getpid(), {}
        return True

    def __getstate__(self) -> tuple[Path, int, int]:
        return self._folder, self._count, self._limit

    def __setstate__(self, state: tuple[Path, int, int]) -> None:
        self._folder, self._count, self._limit = state
        self._table = self._data = -1
        self._owner, self._readers = 0, {}


def _remove_unused(current: Path) -> None:
    for folder in current.parent.glob(f"{_PREFIX}*"):
        try:
            if folder != current and (folder / _TABLE).is_file() and time.time() - folder.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(folder)
        except OSError:  # another process was faster, or it belongs to somebody else
            continue


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
