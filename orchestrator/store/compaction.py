"""Merge the small files of a Delta table, so that the cost of a commit does not grow."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

from orchestrator.store.delta_log import can_replace_some, has_plain_files, replace_all_files, replace_files

COMPACTED_BYTES = 8 << 20  # larger files are left alone, so that the cost of a compaction does not grow either
# One new file has at most as many rows, from files of at most as many bytes. Files with half the rows are left alone.
_MERGED_ROWS, _MERGED_BYTES = 1 << 16, 16 << 20
_MERGED_GRAPHS = 1 << 12  # rows with graphs: a graph has 4 to 100 kB of text, which compresses well
# Rows of a file are sorted, and readers skip groups of rows without the wanted values.
_ORDER = ("task", "space", "data", "fidelity", "fingerprint", "recipe_hash", "outcome", "started")
_GROUP_ROWS = 1 << 12
_UNIQUE = ("key", "attempt_id", "graph")


@dataclass(frozen=True, slots=True)
class _File:
    """A live file. path: as in the log."""

    path: str
    size: int
    rows: int


def compact_small_files(
    table: DeltaTable, files: pa_fs.FileSystem, folder: Path | None, schema: pa.Schema, everything: bool = False
) -> None:
    """Rewrite the rows of small files as fewer files, each with its rows in the order of task, space and data.

    A file is merged when the smaller ones have as many bytes together, so that a row is rewritten a number of times
    that grows with the logarithm of the file size. Memory is that of one new file.

    Delta's own `optimize.compact` is not used: two at the same time both succeed and double every row (deltalake
    1.6 retries its commit whatever the properties say). The commit here is valid only for the version that was read
    and raises CommitFailedError otherwise.

    files: of the table. folder: of a table that is not in an object store, where only all files can be replaced
    together. schema: of the rows. everything: merge all small files.
    """
    if not has_plain_files(table, schema):
        return
    live, most_rows = _live_files(table), _MERGED_GRAPHS if "graph" in schema.names else _MERGED_ROWS
    small = [file for file in live if file.size < COMPACTED_BYTES and file.rows < most_rows // 2]
    some = folder is not None and can_replace_some(table)
    merged = _mergeable(small, everything) if some else _worth_rewriting(live, small, everything)
    if len(merged) < 2:
        return
    added = [_write_sorted(_read(part, files, schema), files, schema) for part in _parts(merged, most_rows)]
    try:
        if len(merged) == len(live):
            replace_all_files(table, added)
        elif folder is not None:
            replace_files(table, folder, [file.path for file in merged], added)
    except CommitFailedError:
        for action in added:  # no vacuum would find them
            files.delete_file(action.path)
        raise


def _live_files(table: DeltaTable) -> list[_File]:
    added = pa.table(table.get_add_actions())
    columns = (added.column(name).to_pylist() for name in ("path", "size_bytes", "num_records"))
    return [_File(str(path), int(size or 0), int(rows or 0)) for path, size, rows in zip(*columns, strict=True)]


def _mergeable(small: Sequence[_File], everything: bool) -> list[_File]:
    """The small files, or as many of the smallest as are worth it."""
    small = sorted(small, key=lambda file: file.size)
    if everything:
        return small
    count, total = 0, 0
    for number, file in enumerate(small):
        if file.size <= total:
            count = number + 1
        total += file.size
    return small[:count]


def _worth_rewriting(live: Sequence[_File], small: Sequence[_File], everything: bool) -> list[_File]:
    """All files, if the small ones are so many that it is worth it to rewrite the table; otherwise none."""
    needed = 1 if everything else sum(file.size for file in live) // 2
    return list(live) if sum(file.size for file in small) >= needed else []


def _parts(merged: Sequence[_File], most_rows: int) -> Iterator[list[_File]]:
    """The files in groups, each of which becomes one file."""
    part: list[_File] = []
    for file in merged:
        rows, size = sum(f.rows for f in part) + file.rows, sum(f.size for f in part) + file.size
        if part and (rows > most_rows or size > _MERGED_BYTES):
            yield part
            part = []
        part.append(file)
    yield part


def _read(part: Sequence[_File], files: pa_fs.FileSystem, schema: pa.Schema) -> pa.Table:
    """The rows of some files, sorted. Texts that repeat are read as dictionaries, to save memory."""
    repeated = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in _UNIQUE]
    tables = []
    for file in part:
        path = unquote(file.path)
        tables.append(pq.read_table(path, columns=schema.names, filesystem=files, read_dictionary=repeated))
    rows = pa.concat_tables(_with_zone(table, schema) for table in tables).unify_dictionaries()
    order = [name for name in _ORDER if name in schema.names]
    keys = pa.table({name: rows.column(name).cast(schema.field(name).type) for name in order})
    return rows.take(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in order]))


def _with_zone(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the types of `schema`, except for dictionaries."""
    fields = [
        field if pa.types.is_dictionary(field.type) else schema.field(field.name)
        for field in (table.schema.field(name) for name in schema.names)
    ]
    return table.select(schema.names).cast(pa.schema(fields))


def _write_sorted(rows: pa.Table, files: pa_fs.FileSystem, schema: pa.Schema) -> AddAction:
    """Write a file and return the entry that adds it."""
    path = f"part-00000-{uuid.uuid4()}-c000.zstd.parquet"
    writer = pq.ParquetWriter(path, schema, filesystem=files, compression="zstd", store_schema=False)
    with writer:
        for start in range(0, rows.num_rows, _GROUP_ROWS):
            # As plain texts: of a dictionary, every group would get all entries.
            writer.write_table(rows.slice(start, _GROUP_ROWS).cast(schema))
    size = files.get_file_info(path).size
    return AddAction(path, size, {}, int(time.time() * 1000), False, json.dumps(_statistics(rows)))


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """The statistics of a file that deltalake writes too: with the tables' configuration, only of the first column."""
    name = rows.column_names[0]
    extremes = pc.min_max(rows.column(0))
    lowest, highest = str(extremes["min"]), str(extremes["max"])
    nulls = {name: rows.column(0).null_count}
    return {
        "numRecords": rows.num_rows,
        "minValues": {name: lowest},
        "maxValues": {name: highest},
        "nullCount": nulls,
    }
