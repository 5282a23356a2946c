"""Read from a Delta table's log which rows a version added."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq

from orchestrator.store.compaction import is_compaction


def added_files(files: pa_fs.FileSystem, version: int) -> list[str]:
    """Return the paths, relative to the table, of the files that a version added; none for a compaction.

    Raises FileNotFoundError if the log entry was cleaned up.
    """
    with files.open_input_file(f"_delta_log/{version:020d}.json") as file:
        entries = [json.loads(line) for line in file.read().splitlines() if line.strip()]
    if any(map(is_compaction, entries)):
        return []
    adds = [entry["add"] for entry in entries if "add" in entry]
    return [unquote(add["path"]) for add in adds if add["dataChange"]]


def read_files(files: pa_fs.FileSystem, paths: Iterable[str], schema: pa.Schema) -> pa.Table:
    """Read the columns of `schema` from some of a table's files. Raises FileNotFoundError for a file that is gone."""
    parts = (pq.read_table(path, columns=schema.names, filesystem=files).cast(schema) for path in paths)
    return pa.concat_tables([schema.empty_table(), *parts])
