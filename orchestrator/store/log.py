"""What the entries of a Delta table's log say of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq

from orchestrator.store.compaction import is_compaction


def added_files(files: pa_fs.FileSystem, version: int) -> list[str]:
    """Paths, in the table's folder, of the files whose rows came with a version; none for one that merged files.

    Raises FileNotFoundError where the log does not reach back so far.
    """
    with files.open_input_file(f"_delta_log/{version:020d}.json") as file:
        entries = [json.loads(line) for line in file.read().splitlines() if line.strip()]
    if any(map(is_compaction, entries)):
        return []
    adds = [entry["add"] for entry in entries if "add" in entry]
    return [unquote(add["path"]) for add in adds if add["dataChange"]]


def read_files(files: pa_fs.FileSystem, paths: Iterable[str], schema: pa.Schema) -> pa.Table:
    """The columns of `schema` of some of a table's files. Raises FileNotFoundError for one that was cleaned up."""
    parts = (pq.read_table(path, columns=schema.names, filesystem=files).cast(schema) for path in paths)
    return pa.concat_tables([schema.empty_table(), *parts])
