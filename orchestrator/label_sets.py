"""A store's labels as predictors learn from them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from orchestrator.store.base import LabelStore
from orchestrator.store.schema import graph_fingerprint
from predictor.graph.structure import Graph
from predictor.label_set import LabelSet
from predictor.statistics import STATISTICS, statistics

Showing = Callable[[int, int], None]
_WANTED = ("architecture", "space", "task", "data", "fingerprint", "fidelity", "recipe_name", "recipe_hash", "value")
_GRAPH_KEY = ("architecture", "task", "fingerprint", "recipe_hash")


def read_label_sets(store: LabelStore, show: Showing = lambda done, total: None) -> tuple[list[LabelSet], int]:
    """The sets of a store, by name, and how many labels have no graph and were left out.

    Labels that differ in the seed alone count once, by their mean. Proxies are no labels.
    """
    rows = [row for row in store.labels().select(_WANTED).to_pylist() if row["fidelity"] != "proxy"]
    texts = {tuple(row[k] for k in _GRAPH_KEY): row["graph"] for row in store.graphs().to_pylist()}
    found: dict[str, list[float]] = {}
    groups: dict[tuple[str, ...], dict[str, list[tuple[str, float]]]] = defaultdict(lambda: defaultdict(list))
    without = 0
    for number, row in enumerate(rows):
        text = _graph_of(row, texts)
        if text is None:
            without += 1
            continue
        if text not in found:
            found[text] = list(statistics(Graph.from_json(text)).values())
        show(number + 1, len(rows))
        kind = tuple(row[k] for k in ("space", "task", "data", "fidelity", "recipe_name", "recipe_hash"))
        groups[kind][row["architecture"]].append((text, row["value"]))
    names = _names(list(groups))
    sets = [_label_set(names[kind], kind, labels, found) for kind, labels in groups.items()]
    return sorted(sets, key=lambda one: one.name), without


def _graph_of(row: dict[str, Any], texts: dict[tuple[str, ...], str]) -> str | None:
    fingerprint = graph_fingerprint(row["fidelity"], row["fingerprint"])
    return texts.get((row["architecture"], row["task"], fingerprint, row["recipe_hash"]))


def _names(kinds: list[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """SPACE/TASK/DATA, with as much of fidelity and recipe as it takes to tell sets apart."""
    names = {kind: "/".join(kind[:3]) for kind in kinds}
    for part in range(3, 6):
        taken = Counter(names.values())
        names = {kind: f"{name}/{kind[part]}" if taken[name] > 1 else name for kind, name in names.items()}
    return names


def _label_set(
    name: str, kind: tuple[str, ...], labels: dict[str, list[tuple[str, float]]], found: dict[str, list[float]]
) -> LabelSet:
    architectures = sorted(labels)
    table = np.array([found[labels[a][0][0]] for a in architectures], np.float64).reshape(-1, len(STATISTICS))
    values = np.array([np.mean([value for _, value in labels[a]]) for a in architectures], np.float64)
    return LabelSet(name, kind[0], kind[1], kind[2], np.array(architectures, np.str_), table, values)
