"""The folder of real data sets, for tests marked `real`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data_folder(contents: str) -> Path:
    """Return the folder that the variable AIOP_DATA names; skip the test if there is none.

    contents: the data sets that the test needs there, for the message.
    """
    folder = os.environ.get("AIOP_DATA", "")
    if not os.path.isdir(folder):
        pytest.skip(f"AIOP_DATA NAMES NO FOLDER: point it at the folder that holds {contents}")
    return Path(folder)
