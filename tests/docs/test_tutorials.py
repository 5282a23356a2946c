"""The tutorials run from top to bottom."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.notebook import run_notebook

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "coco-to-network.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_coco_to_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    printed = run_notebook(TUTORIAL, tmp_path)
    sys.modules.pop("network", None)
    assert printed[0].startswith("train 64 images")
    facts = json.loads((tmp_path / "best" / "network.json").read_text())
    assert json.dumps(facts["genotype"]) in printed[-1]
    labels = json.loads((tmp_path / "labels.json").read_text())
    # the reference and eight networks, then both winners and the reference by the longer recipe
    assert len(labels) == 12
    assert {label["task"] for label in labels} == {"det"}


def test_its_outputs_are_of_the_same_cells() -> None:
    cells = [cell for cell in json.loads(TUTORIAL.read_text())["cells"] if cell["cell_type"] == "code"]
    printing = [cell for cell in cells if "print(" in "".join(cell["source"])]
    assert printing
    assert all(cell["outputs"] for cell in printing), "run python -m tests.support.notebook on it"
