"""Arrays in files of this machine, mapped into memory when they are read, so that many processes share them."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.atomic_write import publish_folder, temporary_sibling
from predictor.text_files import parse_json
from workers.code_version import code_version
from workers.node_folder import node_folder

log = logging.getLogger(__name__)

_FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class ArrayFiles:
    """Arrays by name, and facts as JSON values."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


def index_folder(sources: Iterable[Path], kind: str) -> Path:
    """Return the folder for what was read from some files: another one when a file's size or time changes.

    kind: names what is read. Raises OSError if a file is missing.
    """
    digest = hashlib.sha256(f"{kind} {code_version()}".encode())
    for path in sources:
        status = path.stat()
        digest.update(f"\0{path.absolute()} {status.st_size} {status.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return node_folder() / f"index-{digest.hexdigest()[:24]}"


def read_arrays(folder: Path) -> ArrayFiles | None:
    """Return the arrays of a folder, mapped into memory; None if there are none, or they are damaged."""
    try:
        facts = parse_json((folder / _FACTS).read_bytes())
        arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
        return ArrayFiles(arrays, facts) if sorted(arrays) == facts["arrays"] else None
    except Exception:  # numpy reads a damaged header as Python, which may fail in any way
        return None


def write_arrays(folder: Path, content: ArrayFiles) -> None:
    """Write arrays into a folder, completely or not at all. What cannot be written is logged, and read again later."""
    partial = temporary_sibling(folder)
    try:
        partial.mkdir(parents=True)
        for name, array in content.arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        (partial / _FACTS).write_text(json.dumps(dict(content.facts) | {"arrays": sorted(content.arrays)}))
        publish_folder(partial, folder)
    except FileExistsError:  # another process was faster
        shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        log.warning("index %s: not written (%s): every process reads annotations again", folder, error)


def join_texts(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return texts without line breaks as one array of bytes."""
    return np.frombuffer("\n".join(texts).encode("utf-8", "surrogateescape"), dtype=np.uint8)


def split_texts(joined: NDArray[np.uint8], count: int) -> tuple[str, ...]:
    """Return the texts that `join_texts` joined. count: their number."""
    return tuple(joined.tobytes().decode("utf-8", "surrogateescape").split("\n")) if count else ()
