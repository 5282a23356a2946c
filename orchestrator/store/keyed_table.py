"""A Delta table in which a key occurs at most once, with any number of processes appending at once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
from deltalake import CommitProperties, DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from orchestrator.errors import StoreError, StoreForgotError
from orchestrator.store.compaction import compact_small_files
from orchestrator.store.error_translation import explained
from orchestrator.store.log import added_files, read_files
from orchestrator.store.tables import check_table, files_of, make_table, open_table
from workers.storage.spool import in_object_store

log = logging.getLogger(__name__)

# Each conflict means that someone else got through, so only a crowd of committers comes near this.
MAX_CONFLICTS = 200

# Delta goes through the list of live files in every commit, so one file a commit would make each slower than the last.
COMPACT_EVERY = 8


def strings(column: pa.ChunkedArray[Any]) -> set[str]:
    """The distinct values of a column of strings."""
    return {str(value) for value in column.to_pylist()}


class KeyedTable:
    """Optimistic locking: an append is valid only for the version whose keys we know, else Delta refuses it.

    The keys are loaded once and then kept up with the log's new entries, so an append costs the same however long
    the table's history is.
    """

    def __init__(self, uri: str, schema: pa.Schema, key: str, storage_options: dict[str, str] | None = None) -> None:
        self._uri = uri
        self._schema = schema
        self._key = key
        self._options = storage_options
        self._table: DeltaTable | None = None
        self._keys: set[str] = set()
        self._writes = 0
        self.known_version = -1  # the version that `_keys` describes

    def append(self, rows: Sequence[dict[str, Any]]) -> int:
        """Appends the first row of every key that the table lacks; returns how many.

        Raises:
            StoreError: the table cannot be written.
        """
        if not rows:
            return 0
        table = self._table or self._opened_or_made()
        for conflicts in range(MAX_CONFLICTS):
            # Also after a write that failed half-way and yet moved the handle on.
            self._learn(table)
            fresh: dict[str, dict[str, Any]] = {}
            for row in rows:
                if row[self._key] not in self._keys:
                    fresh.setdefault(row[self._key], row)
            if not fresh:
                return 0
            if self._try_write(table, list(fresh.values())):
                if table.version() == self.known_version + 1:
                    self._keys.update(fresh)
                    self.known_version += 1
                self._writes += 1
                if self._writes % COMPACT_EVERY == 0:
                    self._compact(table)
                return len(fresh)
            time.sleep(random.uniform(0, 0.005 * min(conflicts + 1, 10)))
            self._refresh()
        raise StoreError(
            f"label store {self._uri}: {MAX_CONFLICTS} commits in a row lost to other processes: "
            "commit from fewer processes, or with larger batches"
        )

    @property
    def known_rows(self) -> int:
        """Rows of the version `known_version`."""
        return len(self._keys)

    def keys(self) -> set[str]:
        """Every key in the table's newest version."""
        self._refresh()
        return set(self._keys)

    def read(
        self, chosen: pc.Expression | None = None, columns: list[str] | None = None, version: int | None = None
    ) -> pa.Table:
        """The rows that `chosen` holds for, of a version or the newest one."""
        schema = self._schema if columns is None else pa.schema([self._schema.field(name) for name in columns])
        table = open_table(self._uri, self._options)
        if table is None or version == -1:
            return schema.empty_table()
        if version is not None:
            self._go_to(table, version)
        return self._scan(table, schema, chosen)

    def added(self, since: int, version: int | None = None) -> pa.Table:
        """The rows that came after version `since`, up to `version` or the newest one. Merging files adds none.

        Raises StoreForgotError where `since` is too long ago, StoreError for a version that there never was.
        """
        table = open_table(self._uri, self._options)
        newest = -1 if table is None else int(table.version())
        version = newest if version is None else version
        if (wrong := max(since, version)) > newest:
            raise StoreError(f"label store {self._uri}: has no version {wrong}, the newest is {newest}: name another")
        if table is None:
            return self._schema.empty_table()
        found = None if self._remote else self._logged(since, version)
        return self._difference(since, version) if found is None else found

    def _logged(self, since: int, version: int) -> pa.Table | None:
        """The rows of the files that were added; None where log entries or files were cleaned up."""
        with explained(self._uri):
            try:
                added = (path for n in range(since + 1, version + 1) for path in added_files(self._files(), n))
                return read_files(self._files(), added, self._schema)
            except FileNotFoundError:
                return None

    def _difference(self, since: int, version: int) -> pa.Table:
        """What one version has and the other has not."""
        try:
            before = self.read(columns=[self._key], version=since).column(0)
        except StoreError as error:
            raise StoreForgotError(
                f"label store {self._uri}: does not remember version {since} any more ({error}): read all of it anew"
            ) from error
        rows = self.read(version=version)
        return rows.filter(pc.invert(pc.is_in(rows.column(self._key), value_set=before)))

    def _go_to(self, table: DeltaTable, version: int) -> None:
        try:
            table.load_as_version(version)
        except DeltaError as error:
            text = " ".join(str(error).split())[:200]
            raise StoreError(f"label store {self._uri}: has no version {version} ({text}): name another") from error

    def version(self) -> int:
        """The newest version; -1 where there is no table yet."""
        with explained(self._uri):
            table = self._refresh()
            return -1 if table is None else int(table.version())

    def compact(self) -> None:
        """Merges small files, writes a checkpoint and drops files unused for Delta's retention time."""
        table = open_table(self._uri, self._options)
        if table is None:
            return
        self._compact(table)
        with explained(self._uri):
            table.create_checkpoint()
            table.vacuum(dry_run=False)

    def _compact(self, table: DeltaTable) -> None:
        try:
            compact_small_files(table, self._files(), lambda chosen: self._scan(table, self._schema, chosen), self._key)
        except (DeltaError, OSError, StoreError) as error:  # CommitFailedError too: another process was faster
            # The rows are safe as they are, and the next merge takes these files as well.
            log.info("label store %s: small files not merged this time: %s", self._uri, error)

    def _try_write(self, table: DeltaTable, rows: list[dict[str, Any]]) -> bool:
        batch = pa.Table.from_pylist(rows, schema=self._schema)
        try:
            # Without retries Delta refuses a commit whose version someone else took, rather than rebasing it.
            write_deltalake(table, batch, mode="append", commit_properties=CommitProperties(max_commit_retries=0))
        except CommitFailedError:
            return False
        except (DeltaError, OSError, ValueError) as error:
            raise StoreError(
                f"label store {self._uri}: cannot be written ({' '.join(str(error).split())[:300]}): "
                "check space, rights and network; what was measured waits in the spool"
            ) from error
        return True

    def _opened_or_made(self) -> DeltaTable:
        table = self._refresh()
        if table is None:
            table = self._table = make_table(self._uri, self._schema, self._options)
        return table

    def _refresh(self) -> DeltaTable | None:
        with explained(self._uri):
            if self._table is None:
                self._table = open_table(self._uri, self._options)
            else:
                self._table.update_incremental()
            if self._table is not None:
                check_table(self._uri, self._table)
                self._learn(self._table)
        return self._table

    def _learn(self, table: DeltaTable) -> None:
        newest = int(table.version())
        if newest == self.known_version:
            return
        with explained(self._uri):
            added: set[str] = set()
            try:
                if self.known_version < 0:
                    raise FileNotFoundError
                for version in range(self.known_version + 1, newest + 1):
                    added |= self._added_keys(version)
            except FileNotFoundError:  # the first time, or log entries or files were cleaned up meanwhile
                whole = DeltaTable(self._uri, version=newest, storage_options=self._options)
                column = self._scan(whole, pa.schema([self._schema.field(self._key)]), None).column(0)
                added = strings(column)
        self._keys |= added
        self.known_version = newest

    def _added_keys(self, version: int) -> set[str]:
        if self._remote:
            # Another process's commits are rare there, and reading its files one by one is slower than one query.
            raise FileNotFoundError
        key = pa.schema([self._schema.field(self._key)])
        return strings(read_files(self._files(), added_files(self._files(), version), key).column(0))

    def _scan(self, table: DeltaTable, schema: pa.Schema, chosen: pc.Expression | None) -> pa.Table:
        with explained(self._uri):
            if self._remote:
                return self._query(table, schema, chosen)
            dataset = table.to_pyarrow_dataset(filesystem=self._files())
            return dataset.to_table(columns=schema.names, filter=chosen).cast(schema)

    def _query(self, table: DeltaTable, schema: pa.Schema, chosen: pc.Expression | None) -> pa.Table:
        """Reads with Delta's own engine: Arrow's threads would call back into Python, and abort a process that ends."""
        whole = pa.schema([field for field in self._schema if chosen is not None or field.name in schema.names])
        names = ", ".join(f'"{name}"' for name in whole.names)
        found = pa.table(QueryBuilder().register("t", table).execute(f"select {names} from t").read_all()).cast(whole)
        return (found if chosen is None else found.filter(chosen)).select(schema.names)

    @property
    def _remote(self) -> bool:
        return in_object_store(self._uri)

    def _files(self) -> pa_fs.FileSystem:
        return files_of(self._uri, self._options)
