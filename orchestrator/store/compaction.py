"""Merging the small files of a Delta table, so that each commit costs what the first did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake

COMPACTED_BYTES = 8 << 20  # a file this large is left alone, so that a merge costs the same in a large table

_MARK = {"aiop": "merge"}  # kept in the log
_TIME = "started"  # where a table has it, rows come about in its order
_INSTANT: pa.DataType = pa.timestamp("us", tz="UTC")
_SQL_INSTANT = 'Timestamp(Microsecond, Some("UTC"))'


def compact_small_files(
    table: DeltaTable, files: pa_fs.FileSystem, scan: Callable[[pc.Expression | None], pa.Table], key: str
) -> None:
    """Rewrites the rows of all small files as one, with what else started since the first of them in tables with times.

    Not by Delta's own `optimize.compact`: two at once both succeed and double every row (deltalake 1.6). This is an
    overwrite that holds only for the version that was read, and fails with CommitFailedError otherwise.

    scan: reads the table's rows for which an expression holds. key: the column with a value of its own in every row.
    """
    live = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    small = [str(file["path"]) for file in live if file["size_bytes"] < COMPACTED_BYTES]
    if len(small) < 2:
        return
    chosen, predicate = None, None
    if len(small) < len(live):
        timed = _TIME in table.schema().to_arrow().names
        chosen, predicate = _since_the_first(small, files) if timed else _with_keys(small, files, key)
    alone = CommitProperties(custom_metadata=_MARK, max_commit_retries=0)
    write_deltalake(table, scan(chosen), mode="overwrite", predicate=predicate, commit_properties=alone)


def is_compaction(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of the log says that its commit merged files and neither added nor removed a row."""
    return bool(_MARK.items() <= entry.get("commitInfo", {}).items())


def _since_the_first(small: Sequence[str], files: pa_fs.FileSystem) -> tuple[pc.Expression, str]:
    """Rows that started when the small files' earliest did or later, for pyarrow and in SQL."""
    first = min(int(pc.min(_column(path, files, _TIME).cast(_INSTANT).cast(pa.int64())).as_py()) for path in small)
    return pc.field(_TIME) >= pa.scalar(first, _INSTANT), f"{_TIME} >= arrow_cast({first}, '{_SQL_INSTANT}')"


def _with_keys(small: Sequence[str], files: pa_fs.FileSystem, key: str) -> tuple[pc.Expression, str]:
    """Rows of the small files by their keys. Slower in a large table, whose keys are all looked through."""
    keys = [value for path in small for value in _column(path, files, key).to_pylist()]
    return pc.field(key).isin(keys), f"{key} IN ({', '.join(repr(value) for value in keys)})"


def _column(path: str, files: pa_fs.FileSystem, name: str) -> pa.ChunkedArray[Any]:
    return pq.read_table(unquote(path), columns=[name], filesystem=files).column(0)
