"""The examples of the guide."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.search import candidates, surrogate

GUIDE = Path(__file__).parents[3] / "docs" / "howto" / "choose-what-to-label.md"


def test_the_example_of_the_guide_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (example,) = (part.split("```")[0] for part in GUIDE.read_text().split("```python")[1:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(candidates, "_MUTATIONS", 1)
    monkeypatch.setattr(surrogate, "shipped", SimpleNamespace(FOLDER=tmp_path / "nothing"))  # it takes seconds to load
    names: dict[str, object] = {}
    exec(example.replace("pool=500", "pool=10").replace("range(5)", "range(2)"), names)
    labels = names["labels"]
    assert isinstance(labels, dict)
    assert len(labels) == 8
