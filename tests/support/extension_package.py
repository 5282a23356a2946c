"""An installed package with an entry point, for tests of the registries."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from predictor import entry_points


def install_extension(folder: Path, group: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution `my-extension` with a module `my_extension`, the entry point `mine` of `group`."""
    (folder / "my_extension.py").write_text(source)
    metadata = folder / "my_extension-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-extension\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\nmine = my_extension\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_extension", raising=False)


def isolate_registry(module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test change the registry `name` of a module. Entry points are not yet loaded in it."""
    monkeypatch.setattr(module, name, dict(getattr(module, name)))
    monkeypatch.setattr(entry_points, "_loaded_groups", set())
