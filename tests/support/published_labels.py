"""Labels of TransNAS-Bench-101's macro space, which tests copy to their stores in slices.

AIOP_LABELS names a store with the imported labels: `orchestrator import transnas_macro.csv --store ...`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.predictors.holdout import split_hold_out
from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.label_set import LabelSet

Row = dict[str, Any]


class Published:
    """The rows of the store AIOP_LABELS, in a fixed order."""

    def __init__(self) -> None:
        location = os.environ.get("AIOP_LABELS", "")
        if not location:
            pytest.skip("AIOP_LABELS: name a store with the imported labels of transnas_macro.csv")
        store = DeltaLabelStore(location)
        rows = store.labels(space="transnas-macro").to_pylist()
        self._graphs = store.graphs(space="transnas-macro").to_pylist()
        assert len(rows) == 4949, f"AIOP_LABELS={location}: {len(rows)} labels of transnas-macro"
        rows.sort(key=lambda row: row["key"])
        self.rows: list[Row] = [rows[number] for number in np.random.default_rng(0).permutation(len(rows))]

    def copy_rows(self, folder: Path, rows: Iterable[Row]) -> None:
        """Append labels, with their graphs, to the store FOLDER/labels."""
        rows, store = list(rows), DeltaLabelStore(folder / "labels")
        wanted = {(row["architecture"], row["task"], row["recipe_hash"]) for row in rows}
        graphs = [g for g in self._graphs if (g["architecture"], g["task"], g["recipe_hash"]) in wanted]
        store._graphs.append(graphs)
        store._labels.append(rows)

    def hold_out(self, folder: Path) -> list[LabelSet]:
        """Return the hold-out of all labels, which no refresh trains on. folder: for a store of all labels."""
        self.copy_rows(folder, self.rows)
        sets, _ = read_label_sets(DeltaLabelStore(folder / "labels"))
        return [held_out for _, held_out in map(split_hold_out, sets)]


def score(predictor: Predictor, held_out: list[LabelSet]) -> tuple[float, dict[str, float]]:
    """Return Spearman's correlation, mean and by task, of the tasks that the predictor knows."""
    from orchestrator.predictors.refresh.gate import spearman

    known = [s for s in held_out if (s.task, s.data) in predictor.known]
    by_task = {f"{s.task}/{s.data}": spearman(predictor.predict_set(s).mean, s.values) for s in known}
    return float(np.mean(list(by_task.values()))), by_task
