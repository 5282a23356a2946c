"""Open and create the Delta tables of a store, and access their files."""

from __future__ import annotations

import logging
import os
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from orchestrator.errors import StoreCorruptError, StoreError, StoreSchemaError
from orchestrator.store.error_translation import translated_errors
from orchestrator.store.schema import SCHEMA_VERSION, description_version, table_description
from workers.storage.objects import open_objects
from workers.storage.spool import in_object_store

log = logging.getLogger(__name__)

Options = dict[str, str] | None

# Statistics of every column would slow every commit, and no query here selects rows by range.
_CONFIGURATION = {"delta.dataSkippingNumIndexedCols": "1", "delta.checkpointInterval": "50"}


def open_table(uri: str, options: Options) -> DeltaTable | None:
    """Open a table whose schema this version can read; return None if there is none.

    Raises:
        StoreCorruptError: the location holds data that is not a table of a store.
        StoreSchemaError: a newer version wrote the table.
    """
    with translated_errors(uri):
        for _ in range(2):
            try:
                table = DeltaTable(uri, storage_options=options)
            except TableNotFoundError:
                # Checked twice, because another process may create the table in between.
                if not _has_data(uri, options):
                    return None
                continue
            check_table(uri, table)
            return table
    raise StoreCorruptError(uri, "it has data files but no Delta log")


def create_table(uri: str, schema: pa.Schema, options: Options) -> DeltaTable:
    """Create a table, or open the one that another process creates at the same time. Raises StoreError."""
    name = PurePosixPath(uri).name
    try:
        DeltaTable.create(
            uri,
            schema,
            mode="ignore",
            name=name,
            description=table_description(name),
            configuration=_CONFIGURATION,
            storage_options=options,
        )
    except CommitFailedError:
        log.debug("label store %s: another process created it first", uri)
    except (DeltaError, OSError) as error:
        raise StoreError(
            f"label store {uri}: cannot be created ({' '.join(str(error).split())[:300]}): choose a writable location"
        ) from error
    table = open_table(uri, options)
    if table is None:
        raise StoreError(
            f"label store {uri}: was deleted right after it was created: do not delete it while commands use it"
        )
    return table


def check_table(uri: str, table: DeltaTable) -> None:
    """Raise StoreCorruptError or StoreSchemaError if this version cannot read the table."""
    version = description_version(table.metadata().description)
    if version is None:
        raise StoreCorruptError(uri, "a Delta table, but its description names no schema version")
    if version > SCHEMA_VERSION:
        raise StoreSchemaError(uri, version, SCHEMA_VERSION)


def table_file_system(uri: str, options: Options) -> pa_fs.FileSystem:
    """Return the file system below a table's folder or URI."""
    # With the other file system Arrow's threads call back into Python, which can abort a process that is exiting.
    if not in_object_store(uri):
        return pa_fs.SubTreeFileSystem(os.path.abspath(uri), pa_fs.LocalFileSystem())
    return open_objects(uri, options)


def _has_data(uri: str, options: Options) -> bool:
    try:
        infos = table_file_system(uri, options).get_file_info(pa_fs.FileSelector("", allow_not_found=True))
    except (TableNotFoundError, OSError):
        return False
    return any(info.path.endswith(".parquet") for info in infos)
