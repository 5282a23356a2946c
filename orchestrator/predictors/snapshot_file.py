"""A snapshot on disk, next to the generation that was trained on it, so that a refresh reads no graph twice."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from orchestrator.predictors.snapshot import ADDED_COLUMNS, INDEX, ROWS, Snapshot
from predictor.atomic_write import write_folder
from predictor.errors import AIOPError
from predictor.features.graph_pool import GraphPool
from predictor.generation import input_version
from workers.messages.published_recipe import FIDELITY as PUBLISHED

FORMAT = 1
_DESCRIPTION, _ROWS, _INDEX, _GRAPHS = "replay.json", "rows.arrow", "index.arrow", "graphs.safetensors"


class SnapshotError(AIOPError):
    """A folder that holds no usable snapshot."""


def write_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Write a snapshot; an existing folder is left unchanged. Raises OSError."""
    if folder.exists():
        return
    files = {
        _ROWS: _arrow(snapshot.rows),
        _INDEX: _arrow(snapshot.index),
        _GRAPHS: save_tensors({name: value.copy(order="C") for name, value in snapshot.pool.to_arrays().items()}),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    description = {"format": FORMAT, "reads": input_version(), "version": snapshot.version, "sha256": digests}
    with suppress(FileExistsError):  # another worker of the group was faster
        write_folder(folder, files | {_DESCRIPTION: json.dumps(description).encode()})


def read_snapshot(folder: Path) -> Snapshot:
    """Inverse of `write_snapshot`. Raises SnapshotError, also if the checksum of a file does not match."""
    try:
        description = json.loads((folder / _DESCRIPTION).read_text())
        files = {name: (folder / name).read_bytes() for name in (_ROWS, _INDEX, _GRAPHS)}
    except FileNotFoundError:
        raise SnapshotError(f"snapshot {folder}: does not exist") from None
    except (OSError, ValueError) as error:
        raise SnapshotError(f"snapshot {folder}: cannot be read ({error})") from None
    expected = (FORMAT, input_version())
    if not isinstance(description, dict) or (description.get("format"), description.get("reads")) != expected:
        raise SnapshotError(f"snapshot {folder}: written by another version of this program")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != description["sha256"].get(name):
            raise SnapshotError(f"snapshot {folder}: {name}: checksum mismatch")
    pool = GraphPool.from_arrays(load_tensors(files[_GRAPHS]))
    rows, index = (pa.ipc.open_file(files[name]).read_all() for name in (_ROWS, _INDEX))
    return Snapshot(description["version"], _with_added_columns(folder, rows).cast(ROWS), index.cast(INDEX), pool)


def _with_added_columns(folder: Path, rows: pa.Table) -> pa.Table:
    """Return the rows of an earlier version with the columns it lacks, which only published labels need.

    Raises SnapshotError if there are published labels.
    """
    missing = [name for name in ADDED_COLUMNS if name not in rows.column_names]
    if missing and PUBLISHED in rows.column("fidelity").unique().to_pylist():
        raise SnapshotError(f"snapshot {folder}: written by an earlier version of this program, without metrics")
    for name in missing:
        rows = rows.append_column(name, pa.nulls(len(rows), ROWS.field(name).type))
    return rows


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
