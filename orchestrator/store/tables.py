"""Opening and making the Delta tables of a store, and reading their files."""

from __future__ import annotations

import logging
import os
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from orchestrator.errors import StoreCorruptError, StoreError, StoreSchemaError
from orchestrator.store.error_translation import explained
from orchestrator.store.schema import SCHEMA_VERSION, describe, described_version
from workers.storage.objects import open_objects
from workers.storage.spool import in_object_store

log = logging.getLogger(__name__)

Options = dict[str, str] | None

# Minimum and maximum of every column are a burden in every commit, and nothing here looks rows up by range.
_CONFIGURATION = {"delta.dataSkippingNumIndexedCols": "1", "delta.checkpointInterval": "50"}


def open_table(uri: str, options: Options) -> DeltaTable | None:
    """The table there, of a schema this version reads; None where there is none.

    Raises:
        StoreCorruptError: there is something, but no table of a store.
        StoreSchemaError: a newer version made it.
    """
    with explained(uri):
        for _ in range(2):
            try:
                table = DeltaTable(uri, storage_options=options)
            except TableNotFoundError:
                # Looked up twice: another process may make the table between the two looks.
                if not _has_data(uri, options):
                    return None
                continue
            check_table(uri, table)
            return table
    raise StoreCorruptError(uri, "it has data files but no Delta log")


def make_table(uri: str, schema: pa.Schema, options: Options) -> DeltaTable:
    """A new table, or the one that another process makes at the same time. Raises StoreError."""
    name = PurePosixPath(uri).name
    try:
        DeltaTable.create(
            uri,
            schema,
            mode="ignore",
            name=name,
            description=describe(name),
            configuration=_CONFIGURATION,
            storage_options=options,
        )
    except CommitFailedError:
        log.debug("label store %s: another process made it first", uri)
    except (DeltaError, OSError) as error:
        raise StoreError(
            f"label store {uri}: cannot be made ({' '.join(str(error).split())[:300]}): "
            "name a place where you may write"
        ) from error
    table = open_table(uri, options)
    if table is None:
        raise StoreError(f"label store {uri}: vanished right after it was made: do not delete it meanwhile")
    return table


def check_table(uri: str, table: DeltaTable) -> None:
    """Raise StoreCorruptError or StoreSchemaError unless this version can read the table."""
    version = described_version(table.metadata().description)
    if version is None:
        raise StoreCorruptError(uri, "a Delta table, but its description names no schema version")
    if version > SCHEMA_VERSION:
        raise StoreSchemaError(uri, version, SCHEMA_VERSION)


def files_of(uri: str, options: Options) -> pa_fs.FileSystem:
    """The files below a table's folder or address."""
    # Arrow's own threads call back into Python with the other one, which can abort a process that is exiting.
    if not in_object_store(uri):
        return pa_fs.SubTreeFileSystem(os.path.abspath(uri), pa_fs.LocalFileSystem())
    return open_objects(uri, options)


def _has_data(uri: str, options: Options) -> bool:
    try:
        infos = files_of(uri, options).get_file_info(pa_fs.FileSelector("", allow_not_found=True))
    except (TableNotFoundError, OSError):
        return False
    return any(info.path.endswith(".parquet") for info in infos)
