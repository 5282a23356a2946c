"""Labels of TransNAS-Bench-101's macro space, fed to a store of a test by and by.

AIOP_LABELS names a store into which they were imported: `orchestrator import transnas_macro.csv --store ...`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.label_set import LabelSet
from predictor.networks.examples import TEST_FOLD, folds

Row = dict[str, Any]


class Published:
    """The rows there are, in an order that is always the same."""

    def __init__(self) -> None:
        place = os.environ.get("AIOP_LABELS", "")
        if not place:
            pytest.skip("AIOP_LABELS: name a store with the imported labels of transnas_macro.csv")
        store = DeltaLabelStore(place)
        rows = store.labels(space="transnas-macro").to_pylist()
        self._graphs = store.graphs(space="transnas-macro").to_pylist()
        assert len(rows) == 4949, f"AIOP_LABELS={place}: {len(rows)} labels of transnas-macro"
        rows.sort(key=lambda row: row["key"])
        self.rows: list[Row] = [rows[number] for number in np.random.default_rng(0).permutation(len(rows))]

    def feed(self, place: Path, rows: Iterable[Row]) -> None:
        """Into the store PLACE/labels."""
        rows, store = list(rows), DeltaLabelStore(place / "labels")
        wanted = {(row["architecture"], row["task"], row["recipe_hash"]) for row in rows}
        graphs = [g for g in self._graphs if (g["architecture"], g["task"], g["recipe_hash"]) in wanted]
        store._graphs.append(graphs)
        store._labels.append(rows)

    def hold_out(self, place: Path) -> list[LabelSet]:
        """Of all labels, those that no refresh may learn from. place: where to put them together."""
        self.feed(place, self.rows)
        sets, _ = read_label_sets(DeltaLabelStore(place / "labels"))
        return [one.take(folds(one.architectures) == TEST_FOLD) for one in sets]


def score(predictor: Predictor, tested: list[LabelSet]) -> tuple[float, dict[str, float]]:
    """Spearman's correlation, the mean over tasks and each; of what the predictor knows."""
    from orchestrator.predictors.refresh.gate import spearman

    known = [one for one in tested if (one.task, one.data) in predictor.known]
    found = {f"{one.task}/{one.data}": spearman(predictor.predict_set(one).mean, one.values) for one in known}
    return float(np.mean(list(found.values()))), found
