"""A replay on disk, beside the generation that learnt from it: so that a refresh reads no graph twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

import pyarrow as pa
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from orchestrator.predictors.snapshot import INDEX, ROWS, Snapshot
from predictor.errors import AIOPError
from predictor.features.graph_pool import GraphPool
from predictor.generation import input_version

FORMAT = 1
_ABOUT, _ROWS, _INDEX, _GRAPHS = "replay.json", "rows.arrow", "index.arrow", "graphs.safetensors"


class SnapshotError(AIOPError):
    """A folder that holds no replay which can be used."""


def write_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Whole or not at all; nothing where the folder is there already. Raises OSError."""
    if folder.exists():
        return
    files = {
        _ROWS: _arrow(snapshot.rows),
        _INDEX: _arrow(snapshot.index),
        _GRAPHS: save_tensors({name: value.copy(order="C") for name, value in snapshot.pool.to_arrays().items()}),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    about = {"format": FORMAT, "reads": input_version(), "version": snapshot.version, "sha256": digests}
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    for name, content in (files | {_ABOUT: json.dumps(about).encode()}).items():
        with (partial / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    try:
        partial.rename(folder)
    except OSError:  # another worker of the group was faster
        shutil.rmtree(partial)


def read_snapshot(folder: Path) -> Snapshot:
    """Inverse of `write_snapshot`. Raises SnapshotError in one line, also for what was changed since it was written."""
    try:
        about = json.loads((folder / _ABOUT).read_text())
        files = {name: (folder / name).read_bytes() for name in (_ROWS, _INDEX, _GRAPHS)}
    except FileNotFoundError:
        raise SnapshotError(f"replay {folder}: there is none") from None
    except (OSError, ValueError) as error:
        raise SnapshotError(f"replay {folder}: cannot be read ({error})") from None
    if not isinstance(about, dict) or (about.get("format"), about.get("reads")) != (FORMAT, input_version()):
        raise SnapshotError(f"replay {folder}: of another version of this program")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != about["sha256"].get(name):
            raise SnapshotError(f"replay {folder}: {name} is not as it was written")
    pool = GraphPool.from_arrays(load_tensors(files[_GRAPHS]))
    rows, index = (pa.ipc.open_file(files[name]).read_all() for name in (_ROWS, _INDEX))
    return Snapshot(about["version"], rows.cast(ROWS), index.cast(INDEX), pool)


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
