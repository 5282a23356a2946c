"""The exit code of a command of `orchestrator` in the process of a test."""

from __future__ import annotations

import sys

import pytest

from orchestrator.cli import main


def exit_code(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run a command and return its exit code; an error other than SystemExit is raised."""
    monkeypatch.setattr(sys, "argv", ["orchestrator", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
