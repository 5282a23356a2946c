"""Write files and folders so that a reader, also after a crash, finds the whole new content or the whole old one.

Everything is written under a temporary name in the target's folder, flushed to disk, and renamed.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; what the caller writes there replaces `path` when the block ends.

    The block must close the file. If it raises, the temporary file is removed and `path` is unchanged. Raises OSError.
    """
    partial = temporary_sibling(path)
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush(path.parent)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write `content` to `path`, in place of any earlier file; text as UTF-8. The folder must exist. Raises OSError."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def create_file(path: Path, content: str) -> None:
    """Write `content`, as UTF-8, to a new file. The folder must exist. Raises OSError.

    Raises FileExistsError if there is a file, also if another process creates it first; that file is unchanged.
    """
    partial = temporary_sibling(path)
    try:
        partial.write_bytes(content.encode())
        _flush(partial)
        try:
            os.link(partial, path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            if path.exists():  # some network file systems have no links; between the two calls lie microseconds there
                raise FileExistsError(f"{path} exists already") from None
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _flush(path.parent)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Create `folder` with `files` by name, and its parents if they are missing.

    Raises FileExistsError if the folder exists already, also if another process creates it first; that folder is
    unchanged. Raises OSError if it cannot be written; what was written so far is removed.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    partial = temporary_sibling(folder)
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            (partial / name).write_bytes(content)
        publish_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def publish_folder(partial: Path, folder: Path) -> None:
    """Rename the complete folder `partial` to `folder`, on the same file system, once all its files are on disk.

    Raises FileExistsError if `folder` exists already and has files, and OSError; `partial` is then left to the caller.
    """
    for path in partial.rglob("*"):
        _flush(path)
    _flush(partial)
    try:
        partial.rename(folder)
    except OSError:
        if folder.exists():  # which error rename raises depends on the platform
            raise FileExistsError(f"{folder} exists already") from None
        raise
    _flush(folder.parent)


def replace_symlink(link: Path, target: str) -> None:
    """Point `link` to `target`, relative to the link's folder. Readers find the old target or the new one."""
    partial = temporary_sibling(link)
    try:
        partial.symlink_to(target)
        os.replace(partial, link)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush(link.parent)


def temporary_sibling(path: Path) -> Path:
    """Return a new hidden name in the folder of `path`, on the same file system."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


def _flush(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot flush a folder; the rename is then as durable as they make it.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)
