"""Extensions: models, spaces, tasks and data formats that other installed packages register by entry points."""

from __future__ import annotations

import threading
import warnings
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from predictor.errors import AIOPError

SPACES = "aiop_orchestrator.spaces"
TASKS = "aiop_orchestrator.tasks"
DATA = "aiop_orchestrator.data"
MODELS = "aiop_orchestrator.models"

_loaded_groups = set[str]()
_lock = threading.RLock()  # reentrant: an extension may look up other names while it is imported


class ExtensionWarning(UserWarning):
    """An installed extension that cannot be imported and is skipped."""


class NameTakenError(AIOPError):
    """Two registrations under one name."""

    def __init__(self, kind: str, name: str, first: Any, second: Any) -> None:
        super().__init__(
            f"{kind} '{name}' is registered twice, by {_module(first)} and by {_module(second)}: "
            "rename one of them, or uninstall the package that it comes from"
        )


def require_free_name(kind: str, name: str, value: Any, registry: dict[str, Any]) -> None:
    """Raise NameTakenError if `registry` has an entry `name`. kind: noun for the message, such as "space"."""
    if name in registry:
        raise NameTakenError(kind, name, registry[name], value)


def load_entry_points(group: str) -> None:
    """Import all entry points of a group, such as SPACES, once per process. Their import registers what they add.

    An entry point that cannot be imported is skipped with an ExtensionWarning. Raises NameTakenError if one registers
    a name that is already taken: which of the two a name means would depend on the order of imports.
    """
    with _lock:
        if group in _loaded_groups:
            return
        _loaded_groups.add(group)
        try:
            for entry_point in sorted(entry_points(group=group), key=lambda e: (e.name, e.value)):
                _load(entry_point)
        except NameTakenError:
            _loaded_groups.remove(group)  # the next look-up must fail too
            raise


def _load(entry_point: EntryPoint) -> None:
    try:
        entry_point.load()
    except NameTakenError:
        raise
    except Exception as error:  # an extension may fail in any way
        package = entry_point.dist.name if entry_point.dist else "the package that it comes from"
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        warnings.warn(
            f"entry point '{entry_point.name}' of group {entry_point.group} ({entry_point.value}) cannot be imported "
            f"and is skipped ({reason}): fix it, or remove it with: pip uninstall {package}",
            ExtensionWarning,
            stacklevel=4,
        )


def _module(value: Any) -> str:
    """Return the module of a class, function or instance."""
    return str(getattr(value, "__module__", None) or type(value).__module__)
