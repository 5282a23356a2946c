"""Shared weights and heads that come with the package, for built-in data. See README.md in this folder."""

from __future__ import annotations

from pathlib import Path

from workers.errors import ArtifactError
from workers.storage.manifest import verify_artifact

FOLDER = Path(__file__).parent


def shipped_artifact(name: str) -> Path | None:
    """Return the folder of an artifact that comes with the package; None if it does not.

    name: has the hash of the recipe and of the data, so that it fits only what it was trained for. Raises ArtifactError
    if its files were changed.
    """
    folder = FOLDER / name
    if not folder.is_dir():
        return None
    try:
        verify_artifact(folder)
    except ArtifactError as error:
        raise ArtifactError(
            f"{error.args[0].partition(': ')[0]}: does not have the files that the package was built with: install "
            "aiop-orchestrator again, or train them with `orchestrator prepare --without-shipped`"
        ) from None
    return folder
