"""Statistics by group on columns agree with those of rows."""

from __future__ import annotations

import numpy as np

from orchestrator.campaign.reliability import label_statistics
from orchestrator.campaign.stored_groups import COLUMNS, group_statistics
from orchestrator.store.memory import MemoryLabelStore
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS
from tests.support.store_reports import report


def _store(metrics: list[str]) -> MemoryLabelStore:
    """A store with labels of two tasks, of 30 networks with 3 seeds, of which some lack a seed."""
    rows, rng = list[dict[str, object]](), np.random.default_rng(0)
    for task in ("seg", "cls"):
        source = MemoryLabelStore()
        source.commit([report(0, task=task)])
        (row,) = source.labels().to_pylist()
        for number in range(90):
            changed = {"key": f"{task}{number}", "architecture": f"a{number // 3 * 7 % 31}", "seed": number % 3}
            rows.append(row | changed | {"value": rng.random(), "metric": metrics[number % len(metrics)]})
    store = MemoryLabelStore()
    labels = LABELS.empty_table().from_pylist(rows[:-1], schema=LABELS)
    store.append_rows(labels, GRAPHS.empty_table(), ATTEMPTS.empty_table())
    return store


def test_agrees_with_statistics_of_rows() -> None:
    store = _store(["miou"])
    groups = group_statistics(store.labels(columns=COLUMNS))
    assert list(groups) == sorted(groups)
    for name, statistics in groups.items():
        rows = store.labels(task=name.split("/")[0]).to_pylist()
        assert name == "/".join(rows[0][part] for part in ("task", "space", "fidelity", "fingerprint", "recipe_hash"))
        assert statistics == label_statistics(rows)
    assert sorted(statistics["labels"] for statistics in groups.values()) == [89, 90]


def test_labels_of_several_metrics_are_apart() -> None:
    groups = group_statistics(_store(["miou", "acc"]).labels(columns=COLUMNS))
    assert [name.split("/")[0] + "@" + name.split("@")[1].split("/")[0] for name in groups] == [
        "cls@acc",
        "cls@miou",
        "seg@acc",
        "seg@miou",
    ]


def test_no_labels_have_no_groups() -> None:
    assert group_statistics(MemoryLabelStore().labels(columns=COLUMNS)) == {}
