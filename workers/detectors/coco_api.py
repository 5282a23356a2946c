"""pycocotools under the name of its fork `xtcocotools`, which mmpose imports for data sets that are not used here.

The fork's wheels are built for numpy 1, and its metrics are not used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

_NAME = "xtcocotools"


def install() -> None:
    """Make `xtcocotools` importable in this process unless the package works. May be called repeatedly."""
    if _NAME in sys.modules or _works():
        return
    for part in ("", ".coco", ".cocoeval", ".mask"):
        sys.modules[f"{_NAME}{part}"] = importlib.import_module(f"pycocotools{part}")


def _works() -> bool:
    """Return whether the package is installed and was built for this numpy."""
    if importlib.util.find_spec(_NAME) is None:
        return False
    try:
        importlib.import_module(f"{_NAME}.mask")
    except (ImportError, ValueError):  # "numpy.dtype size changed" is a ValueError
        for name in [name for name in sys.modules if name.split(".")[0] == _NAME]:
            del sys.modules[name]
        return False
    return True
