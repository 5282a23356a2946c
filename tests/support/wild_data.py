"""The folder of inputs as people have them, for tests marked `real`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def wild_data_folder(contents: str) -> Path:
    """Return the folder that the variable AIOP_WILD names; skip the test if there is none.

    contents: the inputs that the test needs there, for the message.
    """
    folder = os.environ.get("AIOP_WILD", "")
    if not os.path.isdir(folder):
        pytest.skip(f"AIOP_WILD NAMES NO FOLDER: point it at the folder that holds {contents}")
    return Path(folder)
