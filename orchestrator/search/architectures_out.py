"""Choices as rows, and as the content of a file of architectures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from orchestrator.search.chooser import Choice


def suggestion_rows(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Return a row for each choice: its architecture's id, space and genotype, and the fields of `Choice`."""
    return [
        {
            "architecture": choice.architecture.id,
            "space": choice.architecture.space,
            "genotype": choice.architecture.genotype,
            "reason": choice.reason,
            "score": choice.score,
            "mean": choice.mean,
            "deviation": choice.deviation,
            "flops": choice.flops,
            "params": choice.params,
        }
        for choice in choices
    ]


def suggestions_text(rows: Sequence[dict[str, Any]], suffix: str) -> str:
    """Return the text of a .csv or .json file that `label --architectures` reads; other columns are for people."""
    if suffix == ".json":
        return json.dumps(list(rows), indent=1) + "\n"
    names = ["space", "genotype", "reason", "score", "mean", "deviation", "flops", "params", "architecture"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
