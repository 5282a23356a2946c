"""Read and write objects of an object store. An object is complete or absent."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.fs as pa_fs
from deltalake.fs import DeltaStorageHandler


def open_objects(uri: str, options: Mapping[str, str] | None = None) -> pa_fs.FileSystem:
    """Open the objects below a URI. options: those of the label store; environment variables such as AWS_* work too."""
    return pa_fs.PyFileSystem(DeltaStorageHandler(uri, options=dict(options or {})))


def write_object(files: pa_fs.FileSystem, name: str, content: bytes) -> None:
    """Write an object; an earlier object of that name is replaced. Raises OSError."""
    # The buffer holds the whole content: deltalake's stream takes the bytes of Arrow's buffer, but no Arrow object.
    with files.open_output_stream(name, buffer_size=len(content) + 1) as file:
        file.write(content)


def read_object(files: pa_fs.FileSystem, name: str) -> bytes:
    """Return an object's content. Raises FileNotFoundError if it is missing, OSError if it cannot be reached."""
    with files.open_input_file(name) as file:
        content: bytes = file.read()
    return content
