"""A snapshot on disk, next to the generation that was trained on it, so that a refresh reads no graph twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from orchestrator.predictors.snapshot import ADDED_COLUMNS, INDEX, ROWS, Snapshot
from predictor.atomic_write import write_folder
from predictor.errors import AIOPError, one_line
from predictor.features.graph_pool import GraphPool
from predictor.generation import input_version
from predictor.text_files import parse_json
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
        description = parse_json((folder / _DESCRIPTION).read_bytes())
        files = {name: (folder / name).read_bytes() for name in (_ROWS, _INDEX, _GRAPHS)}
    except FileNotFoundError:
        raise SnapshotError(f"snapshot {folder}: does not exist") from None
    except (OSError, ValueError) as error:
        raise SnapshotError(f"snapshot {folder}: cannot be read ({error})") from None
    expected = (FORMAT, input_version())
    if not isinstance(description, dict) or (description.get("format"), description.get("reads")) != expected:
        raise SnapshotError(f"snapshot {folder}: written by another version of this program")
    digests, version = description.get("sha256"), description.get("version")
    if not isinstance(digests, dict) or type(version) is not int:
        raise SnapshotError(f"snapshot {folder}: {_DESCRIPTION} has no hashes or no version")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise SnapshotError(f"snapshot {folder}: {name}: checksum mismatch")
    try:
        return _restored(folder, version, files)
    except AIOPError:
        raise
    except Exception as error:  # the content fits its checksum, but is not that of a snapshot
        raise SnapshotError(f"snapshot {folder}: cannot be read ({one_line(error)})") from error


def _restored(folder: Path, version: int, files: Mapping[str, bytes]) -> Snapshot:
    pool = GraphPool.from_arrays(load_tensors(files[_GRAPHS]))
    rows, index = (pa.ipc.open_file(files[name]).read_all() for name in (_ROWS, _INDEX))
    for table in (rows, index):
        table.validate(full=True)
    snapshot = Snapshot(version, _with_added_columns(folder, rows).cast(ROWS), index.cast(INDEX), pool)
    if not all(0 <= place < len(pool) for place in snapshot.graph_indices().values()):
        raise SnapshotError(f"snapshot {folder}: {_INDEX} names graphs that {_GRAPHS} does not have")
    return snapshot


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
