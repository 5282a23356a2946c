"""Merge the small files of a Delta table, so that the cost of a commit does not grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake

COMPACTED_BYTES = 8 << 20  # larger files are left alone, so that the cost of a compaction does not grow either

_COMPACTION_MARK = {"aiop": "merge"}  # stored in the log under this name
_TIME_COLUMN = "started"  # rows are appended roughly in its order
_TIMESTAMP: pa.DataType = pa.timestamp("us", tz="UTC")
_SQL_TIMESTAMP = 'Timestamp(Microsecond, Some("UTC"))'


def compact_small_files(
    table: DeltaTable, files: pa_fs.FileSystem, scan: Callable[[pc.Expression | None], pa.Table], key: str
) -> None:
    """Rewrite the rows of all small files as one file.

    In a table with times, all rows that started after the first of these rows are rewritten, because that condition is
    faster than a list of keys.

    Delta's own `optimize.compact` is not used: two at the same time both succeed and double every row (deltalake
    1.6). This overwrite is valid only for the version that was read and raises CommitFailedError otherwise.

    scan: reads the rows that match an expression. key: the column with a unique value in every row.
    """
    live = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    small = [str(file["path"]) for file in live if file["size_bytes"] < COMPACTED_BYTES]
    if len(small) < 2:
        return
    condition, predicate = None, None
    if len(small) < len(live):
        timed = _TIME_COLUMN in table.schema().to_arrow().names
        condition, predicate = _rows_since_earliest(small, files) if timed else _rows_by_key(small, files, key)
    exclusive = CommitProperties(custom_metadata=_COMPACTION_MARK, max_commit_retries=0)
    write_deltalake(table, scan(condition), mode="overwrite", predicate=predicate, commit_properties=exclusive)


def is_compaction(entry: Mapping[str, Any]) -> bool:
    """Return whether a log entry belongs to a compaction, which neither adds nor removes rows."""
    return bool(_COMPACTION_MARK.items() <= entry.get("commitInfo", {}).items())


def _rows_since_earliest(small: Sequence[str], files: pa_fs.FileSystem) -> tuple[pc.Expression, str]:
    """The condition for rows that started no earlier than those of the small files, for pyarrow and in SQL."""
    times = (_column(path, files, _TIME_COLUMN).cast(_TIMESTAMP).cast(pa.int64()) for path in small)
    earliest = min(int(pc.min(column).as_py()) for column in times)
    condition = pc.field(_TIME_COLUMN) >= pa.scalar(earliest, _TIMESTAMP)
    return condition, f"{_TIME_COLUMN} >= arrow_cast({earliest}, '{_SQL_TIMESTAMP}')"


def _rows_by_key(small: Sequence[str], files: pa_fs.FileSystem, key: str) -> tuple[pc.Expression, str]:
    """The condition for the rows of the small files by key; slower, because it compares all keys of the table."""
    keys = [value for path in small for value in _column(path, files, key).to_pylist()]
    return pc.field(key).isin(keys), f"{key} IN ({', '.join(repr(value) for value in keys)})"


def _column(path: str, files: pa_fs.FileSystem, name: str) -> pa.ChunkedArray[Any]:
    return pq.read_table(unquote(path), columns=[name], filesystem=files).column(0)
