"""Merging the small files of a Delta table, so that each commit costs what the first did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake

MERGED_BYTES = 8 << 20  # a file this large is left alone, so that a merge costs the same in a large table

_MARK = {"aiop": "merge"}  # kept in the log
_TIME = "started"  # all tables have it, and rows come about in its order
_INSTANT: pa.DataType = pa.timestamp("us", tz="UTC")
_SQL_INSTANT = 'Timestamp(Microsecond, Some("UTC"))'


def merge_small_files(
    table: DeltaTable, files: pa_fs.FileSystem, scan: Callable[[pc.Expression | None], pa.Table]
) -> None:
    """Rewrites the rows of all small files, and what else started since the first of them, as one file.

    Not by Delta's own `optimize.compact`: two at once both succeed and double every row (deltalake 1.6). This is an
    overwrite that holds only for the version that was read, and fails with CommitFailedError otherwise.

    scan: reads the table's rows for which an expression holds.
    """
    live = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    small = [str(file["path"]) for file in live if file["size_bytes"] < MERGED_BYTES]
    if len(small) < 2:
        return
    tail, predicate = None, None
    if len(small) < len(live):
        first = min(_first_instant(path, files) for path in small)
        tail = pc.field(_TIME) >= pa.scalar(first, _INSTANT)
        predicate = f"{_TIME} >= arrow_cast({first}, '{_SQL_INSTANT}')"
    alone = CommitProperties(custom_metadata=_MARK, max_commit_retries=0)
    write_deltalake(table, scan(tail), mode="overwrite", predicate=predicate, commit_properties=alone)


def is_merge(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of the log says that its commit merged files and neither added nor removed a row."""
    return bool(_MARK.items() <= entry.get("commitInfo", {}).items())


def _first_instant(path: str, files: pa_fs.FileSystem) -> int:
    """Microseconds since 1970 at which the file's earliest row started."""
    column = pq.read_table(unquote(path), columns=[_TIME], filesystem=files).column(0)
    return int(pc.min(column.cast(_INSTANT).cast(pa.int64())).as_py())
