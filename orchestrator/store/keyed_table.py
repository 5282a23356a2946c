"""A Delta table in which a key occurs at most once, even if many processes append at the same time."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
from deltalake import CommitProperties, DeltaTable, QueryBuilder, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow.dataset import ParquetReadOptions

from orchestrator.errors import StoreError, StoreVacuumedError
from orchestrator.store.compaction import compact_small_files
from orchestrator.store.delta_log import added_files, read_files
from orchestrator.store.error_translation import translated_errors
from orchestrator.store.key_digests import KeyDigests
from orchestrator.store.tables import check_table, create_table, open_table, table_file_system
from workers.storage.spool import in_object_store

log = logging.getLogger(__name__)

# A conflict means that another process committed, so only a great many committers reach this.
MAX_CONFLICTS = 200

# Every commit reads the list of live files. Without compaction each commit would be slower than the one before.
COMPACT_EVERY = 8

_WRITING = WriterProperties(compression="ZSTD")  # graphs repeat themselves


def _remedy(error: Exception) -> str:
    full = "No space left" in str(error)
    return "free disk space there" if full else "check disk space, permissions and network"


def distinct_strings(column: pa.ChunkedArray[Any]) -> set[str]:
    """Return the distinct values of a column of strings."""
    return {str(value) for value in column.to_pylist()}


def _encoded(schema: pa.Schema, columns: Collection[str]) -> pa.Schema:
    """Return the schema with columns of text as dictionaries."""
    dictionary = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([field.with_type(dictionary) if field.name in columns else field for field in schema])


class KeyedTable:
    """Appends with optimistic locking: Delta refuses an append unless the table has the version whose keys are known.

    Keys are loaded once and then updated from new log entries, so the cost of an append does not grow with the
    table's history.
    """

    def __init__(self, uri: str, schema: pa.Schema, key: str, storage_options: dict[str, str] | None = None) -> None:
        self._uri = uri
        self._schema = schema
        self._key = key
        self._options = storage_options
        self._table: DeltaTable | None = None
        self._keys = KeyDigests()
        self._writes = 0
        self.known_version = -1  # version of the table that `_keys` belongs to

    def append(self, rows: Sequence[dict[str, Any]]) -> int:
        """Append the first row of every key that the table lacks; return how many were appended.

        Raises:
            StoreError: the table cannot be written.
        """
        if not rows:
            return 0
        first: dict[str, dict[str, Any]] = {}
        for row in rows:
            first.setdefault(row[self._key], row)
        keys = list(first)
        table = self._table or self._open_or_create()
        for conflicts in range(MAX_CONFLICTS):
            # Needed also after a failed write that still advanced the table's handle.
            self._update_keys(table)
            new_keys = [key for key, known in zip(keys, self._keys.contains(keys), strict=True) if not known]
            if not new_keys:
                return 0
            if self._try_write(table, [first[key] for key in new_keys]):
                if table.version() == self.known_version + 1:
                    self._keys.add(new_keys)
                    self.known_version += 1
                self._writes += 1
                if self._writes % COMPACT_EVERY == 0:
                    self._compact(table)
                return len(new_keys)
            time.sleep(random.uniform(0, 0.005 * min(conflicts + 1, 10)))
            self._refresh()
        raise StoreError(
            f"label store {self._uri}: {MAX_CONFLICTS} commits in a row conflicted with other processes: "
            "use fewer processes or larger batches"
        )

    @property
    def known_rows(self) -> int:
        """Number of rows in version `known_version`."""
        return len(self._keys)

    def keys(self) -> set[str]:
        """Return all keys of the newest version."""
        return distinct_strings(self.read(columns=[self._key]).column(0))

    def count(self) -> int:
        """Return the number of rows of the newest version."""
        self._refresh()
        return len(self._keys)

    def held(self, keys: Set[str]) -> frozenset[str]:
        """Return those of some keys that the newest version has. The first call reads all keys of the table."""
        self._refresh()
        asked = list(keys)
        return frozenset(key for key, known in zip(asked, self._keys.contains(asked), strict=True) if known)

    def read(
        self,
        condition: pc.Expression | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
        encoded: Collection[str] = (),
    ) -> pa.Table:
        """Return the rows that match `condition`, of a version or of the newest. Of columns, only these are read.

        encoded: columns of text that are returned as dictionaries, because few of their values differ.
        """
        schema = _encoded(self._selected(columns), encoded)
        table = open_table(self._uri, self._options)
        if table is None or version == -1:
            return schema.empty_table()
        if version is not None:
            self._load_version(table, version)
        return self._scan(table, schema, condition)

    def _selected(self, columns: Sequence[str] | None) -> pa.Schema:
        return self._schema if columns is None else pa.schema([self._schema.field(name) for name in columns])

    def rows_since(self, since: int, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows added after version `since`, up to `version` or the newest. Compactions add none.

        Raises StoreVacuumedError if `since` was vacuumed, StoreError for a version that never existed.
        """
        table = open_table(self._uri, self._options)
        newest = -1 if table is None else int(table.version())
        version = newest if version is None else version
        if (wrong := max(since, version)) > newest:
            raise StoreError(f"label store {self._uri}: has no version {wrong}, the newest is {newest}: choose another")
        schema = self._selected(columns)
        if table is None:
            return schema.empty_table()
        rows = None if self._remote else self._rows_from_log(since, version, schema)
        return self._rows_by_comparison(since, version, schema) if rows is None else rows

    def _rows_from_log(self, since: int, version: int, schema: pa.Schema) -> pa.Table | None:
        """Rows of the added files according to the log; None if log entries or files were cleaned up."""
        with translated_errors(self._uri):
            try:
                files = self._file_system()
                paths = (path for number in range(since + 1, version + 1) for path in added_files(files, number))
                return read_files(files, paths, schema)
            except FileNotFoundError:
                return None

    def _rows_by_comparison(self, since: int, version: int, schema: pa.Schema) -> pa.Table:
        """Rows of `version` whose keys version `since` lacks."""
        try:
            before = self.read(columns=[self._key], version=since).column(0)
        except StoreError as error:
            raise StoreVacuumedError(
                f"label store {self._uri}: version {since} was vacuumed ({error}): re-read the whole table"
            ) from error
        rows = self.read(columns=list(dict.fromkeys([self._key, *schema.names])), version=version)
        return rows.filter(pc.invert(pc.is_in(rows.column(self._key), value_set=before))).select(schema.names)

    def _load_version(self, table: DeltaTable, version: int) -> None:
        try:
            table.load_as_version(version)
        except DeltaError as error:
            text = " ".join(str(error).split())[:200]
            raise StoreError(f"label store {self._uri}: has no version {version} ({text}): choose another") from error

    def version(self) -> int:
        """Return the newest version; -1 if the table does not exist."""
        with translated_errors(self._uri):
            table = self._newest()
            return -1 if table is None else int(table.version())

    def compact(self) -> None:
        """Merge small files, write a checkpoint and delete files that Delta's retention time allows to delete."""
        table = open_table(self._uri, self._options)
        if table is None:
            return
        self._compact(table, everything=True)
        with translated_errors(self._uri):
            table.create_checkpoint()
            table.vacuum(dry_run=False)

    def _compact(self, table: DeltaTable, everything: bool = False) -> None:
        folder = None if self._remote else Path(os.path.abspath(self._uri))
        try:
            compact_small_files(table, self._file_system(), folder, self._schema, everything)
            table.update_incremental()
        except (DeltaError, OSError, KeyError, pa.ArrowException) as error:
            # CommitFailedError too: another process was faster. No row is lost; the next compaction has these files.
            log.info("label store %s: compaction skipped: %s", self._uri, error)

    def _try_write(self, table: DeltaTable, rows: list[dict[str, Any]]) -> bool:
        batch = pa.Table.from_pylist(rows, schema=self._schema)
        try:
            # Without retries Delta refuses a commit that conflicts with another process instead of rebasing it.
            exclusive = CommitProperties(max_commit_retries=0)
            write_deltalake(table, batch, mode="append", writer_properties=_WRITING, commit_properties=exclusive)
        except CommitFailedError:
            return False
        except (DeltaError, OSError, ValueError) as error:
            raise StoreError(
                f"label store {self._uri}: cannot be written ({' '.join(str(error).split())[:300]}): {_remedy(error)}; "
                "the labels wait in the spool"
            ) from error
        return True

    def _open_or_create(self) -> DeltaTable:
        table = self._refresh()
        if table is None:
            table = self._table = create_table(self._uri, self._schema, self._options)
        return table

    def _refresh(self) -> DeltaTable | None:
        """The table in its newest version, whose keys are then known."""
        with translated_errors(self._uri):
            table = self._newest()
            if table is not None:
                self._update_keys(table)
        return table

    def _newest(self) -> DeltaTable | None:
        if self._table is None:
            self._table = open_table(self._uri, self._options)
        else:
            self._table.update_incremental()
        if self._table is not None:
            check_table(self._uri, self._table)
        return self._table

    def _update_keys(self, table: DeltaTable) -> None:
        newest = int(table.version())
        if newest == self.known_version:
            return
        with translated_errors(self._uri):
            try:
                if self.known_version < 0:
                    raise FileNotFoundError
                for version in range(self.known_version + 1, newest + 1):
                    self._keys.add_column(self._added_keys(version))
            except FileNotFoundError:  # the first time, or after log entries or files were cleaned up
                whole = DeltaTable(self._uri, version=newest, storage_options=self._options)
                self._keys.add_column(self._scan(whole, self._selected([self._key]), None).column(0))
        self.known_version = newest

    def _added_keys(self, version: int) -> pa.ChunkedArray[Any]:
        if self._remote:
            # In object stores one query is faster than reading other processes' files one by one, and these are rare.
            raise FileNotFoundError
        files = self._file_system()
        return read_files(files, added_files(files, version), self._selected([self._key])).column(0)

    def _scan(self, table: DeltaTable, schema: pa.Schema, condition: pc.Expression | None) -> pa.Table:
        with translated_errors(self._uri):
            if self._remote:
                return self._query(table, schema, condition)
            dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type)]
            options = ParquetReadOptions(dictionary_columns=dictionaries)
            dataset = table.to_pyarrow_dataset(filesystem=self._file_system(), parquet_read_options=options)
            return dataset.to_table(columns=schema.names, filter=condition).cast(schema)

    def _query(self, table: DeltaTable, schema: pa.Schema, condition: pc.Expression | None) -> pa.Table:
        """Read with Delta's engine: Arrow's threads call back into Python and can abort a process that is exiting."""
        whole = pa.schema([field for field in self._schema if condition is not None or field.name in schema.names])
        names = ", ".join(f'"{name}"' for name in whole.names)
        rows = pa.table(QueryBuilder().register("t", table).execute(f"select {names} from t").read_all()).cast(whole)
        return (rows if condition is None else rows.filter(condition)).select(schema.names).cast(schema)

    @property
    def _remote(self) -> bool:
        return in_object_store(self._uri)

    def _file_system(self) -> pa_fs.FileSystem:
        return table_file_system(self._uri, self._options)
