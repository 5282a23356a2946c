"""Read from a Delta table's log which rows a version added, and write the log entry of a compaction."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

COMPACTION_MARK = {"aiop": "merge"}  # stored in the log under this name


def added_files(files: pa_fs.FileSystem, version: int) -> list[str]:
    """Return the paths, relative to the table, of the files that a version added; none for a compaction.

    Raises FileNotFoundError if the log entry was cleaned up.
    """
    with files.open_input_file(f"_delta_log/{version:020d}.json") as file:
        entries = [json.loads(line) for line in file.read().splitlines() if line.strip()]
    if any(map(_is_compaction, entries)):
        return []
    adds = [entry["add"] for entry in entries if "add" in entry]
    return [unquote(add["path"]) for add in adds if add["dataChange"]]


def read_files(files: pa_fs.FileSystem, paths: Iterable[str], schema: pa.Schema) -> pa.Table:
    """Read the columns of `schema` from some of a table's files. Raises FileNotFoundError for a file that is gone."""
    parts = (pq.read_table(path, columns=schema.names, filesystem=files).cast(schema) for path in paths)
    return pa.concat_tables([schema.empty_table(), *parts])


def replace_all_files(table: DeltaTable, added: Sequence[AddAction]) -> None:
    """Replace all files of the table by others with the same rows. Raises CommitFailedError after another commit."""
    exclusive = CommitProperties(custom_metadata=COMPACTION_MARK, max_commit_retries=0)
    table.create_write_transaction(list(added), "overwrite", table.schema(), commit_properties=exclusive)


def has_plain_files(table: DeltaTable, schema: pa.Schema) -> bool:
    """Return whether files with the columns of `schema` hold all of the table, whatever other programs did to it."""
    columns = {field.name for field in table.schema().fields}
    plain = table.protocol().min_reader_version == 1 and not table.metadata().partition_columns
    return plain and columns == set(schema.names)


def can_replace_some(table: DeltaTable) -> bool:
    """Return whether the table's protocol is so simple that `replace_files` may write an entry."""
    return table.protocol().min_writer_version <= 2


def replace_files(table: DeltaTable, folder: Path, removed: Sequence[str], added: Sequence[AddAction]) -> None:
    """Replace some files of a table in a local folder by others with the same rows.

    deltalake can replace the rows that match a condition, and then looks for them in every file; it cannot replace
    given files. So this writes the entry of the log itself. Like every commit it is valid only as the successor of the
    version that was read: the file must not exist. Raises CommitFailedError if it does.

    removed: paths as in the log, relative to the table.
    """
    now = int(time.time() * 1000)
    entries: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now, "operation": "OPTIMIZE", "operationParameters": {}, **COMPACTION_MARK}}
    ]
    entries += [{"remove": {"path": path, "deletionTimestamp": now, "dataChange": False}} for path in removed]
    entries += [{"add": _as_logged(action)} for action in added]
    log = folder / "_delta_log"
    # Readers skip files of this name, which deltalake gives to its own entries too before they are complete.
    temporary = log / f"_commit_{uuid.uuid4()}.json.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write("\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, log / f"{table.version() + 1:020d}.json")
    except FileExistsError:
        raise CommitFailedError(f"version {table.version() + 1} exists") from None
    finally:
        temporary.unlink(missing_ok=True)


def _as_logged(action: AddAction) -> dict[str, Any]:
    return {
        "path": action.path,
        "partitionValues": {},
        "size": action.size,
        "modificationTime": action.modification_time,
        "dataChange": False,
        "stats": action.stats,
    }


def _is_compaction(entry: Mapping[str, Any]) -> bool:
    """Whether a log entry belongs to a compaction, which neither adds nor removes rows."""
    return bool(COMPACTION_MARK.items() <= entry.get("commitInfo", {}).items())
