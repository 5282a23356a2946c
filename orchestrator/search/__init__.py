"""Choosing what to label next, and searching for the best networks within limits."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.search.chooser import Choice, Chooser
    from orchestrator.search.opening import open_chooser
    from orchestrator.search.study import Study
    from orchestrator.search.study_opening import create_study

__all__ = ["Choice", "Chooser", "Study", "create_study", "open_chooser"]

_MODULES = {
    "Choice": "orchestrator.search.chooser",
    "Chooser": "orchestrator.search.chooser",
    "Study": "orchestrator.search.study",
    "create_study": "orchestrator.search.study_opening",
    "open_chooser": "orchestrator.search.opening",
}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): commands that choose nothing do not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'orchestrator.search' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
