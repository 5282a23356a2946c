"""Objects of an object store, each whole or not there at all."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.fs as pa_fs
from deltalake.fs import DeltaStorageHandler


def open_objects(uri: str, options: Mapping[str, str] | None = None) -> pa_fs.FileSystem:
    """The objects below an address. options: as the label store's; environment variables such as AWS_* do as well."""
    return pa_fs.PyFileSystem(DeltaStorageHandler(uri, options=dict(options or {})))


def write_object(files: pa_fs.FileSystem, name: str, content: bytes) -> None:
    """Put an object in the place of any of that name. Raises OSError."""
    # Buffered whole: deltalake's stream takes bytes, which is what Arrow's buffer gives it, but no Arrow object.
    with files.open_output_stream(name, buffer_size=len(content) + 1) as file:
        file.write(content)


def read_object(files: pa_fs.FileSystem, name: str) -> bytes:
    """Raises FileNotFoundError where there is none of that name, OSError where it cannot be reached."""
    with files.open_input_file(name) as file:
        content: bytes = file.read()
    return content
