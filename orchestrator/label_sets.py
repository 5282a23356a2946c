"""A store's labels as predictors learn from them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from orchestrator.store.base import LabelStore
from orchestrator.store.schema import graph_fingerprint
from predictor.graph.structure import Graph
from predictor.graph_pool import GraphPool
from predictor.label_set import PROXIES, Floats, LabelSet

Showing = Callable[[int, int], None]
_WANTED = (
    "architecture",
    "space",
    "genotype",
    "task",
    "data",
    "fingerprint",
    "fidelity",
    "recipe_name",
    "recipe_hash",
    "value",
    "metrics",
)
_GRAPH_KEY = ("architecture", "task", "fingerprint", "recipe_hash")


def read_label_sets(
    store: LabelStore, show: Showing = lambda done, total: None, version: int | None = None
) -> tuple[list[LabelSet], int]:
    """The sets of a store, by name, and how many labels have no graph and were left out.

    Labels that differ in the seed alone count once, by their mean. Proxies are no labels, but told beside them.
    """
    everything = store.labels(version=version).select(_WANTED).to_pylist()
    rows, scored = ([r for r in everything if (r["fidelity"] == "proxy") is proxy] for proxy in (False, True))
    proxies = _proxies(scored)
    texts = {tuple(row[k] for k in _GRAPH_KEY): row["graph"] for row in store.graphs().to_pylist()}
    places: dict[str, int] = {}
    groups: dict[tuple[str, ...], dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    without = 0
    for row in rows:
        text = _graph_of(row, texts)
        if text is None:
            without += 1
            continue
        kind = (_space(row), *(row[k] for k in ("task", "data", "fidelity", "recipe_name", "recipe_hash")))
        groups[kind][row["architecture"]].append((places.setdefault(text, len(places)), row["value"]))
    if not groups:
        return [], without
    pool, names = GraphPool.of(_read(list(places), show)), _names(list(groups))
    sets = [_label_set(names[kind], kind, labels, pool, proxies) for kind, labels in groups.items()]
    return sorted(sets, key=lambda one: one.name), without


def _proxies(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Floats]:
    """By architecture and task, the mean of what was scored, on whatever data: such scores say much of the network."""
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for row in rows:
        scores = dict(row["metrics"])
        found[row["architecture"], row["task"]].append([scores.get(name, float("nan")) for name in PROXIES])
    return {key: np.mean(values, axis=0) for key, values in found.items()}


def _space(row: dict[str, Any]) -> str:
    """Published detectors are ranked within their family, with which the name of their configuration begins."""
    if row["space"] != "mmdet":
        return str(row["space"])
    config: str = json.loads(row["genotype"])["config"]
    return f"mmdet-{config.rsplit('/', 1)[-1].split('_')[0]}"


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


def _read(texts: list[str], show: Showing) -> Iterator[Graph]:
    for number, text in enumerate(texts):
        show(number + 1, len(texts))
        yield Graph.from_json(text)


def _label_set(
    name: str,
    kind: tuple[str, ...],
    labels: dict[str, list[tuple[int, float]]],
    pool: GraphPool,
    proxies: dict[tuple[str, str], Floats],
) -> LabelSet:
    architectures = sorted(labels)
    values = np.array([np.mean([value for _, value in labels[a]]) for a in architectures], np.float64)
    graphs = np.array([labels[a][0][0] for a in architectures], np.int64)
    unknown = np.full(len(PROXIES), np.nan)
    scores = np.array([proxies.get((a, kind[1]), unknown) for a in architectures]).reshape(-1, len(PROXIES))
    return LabelSet(name, kind[0], kind[1], kind[2], np.array(architectures, np.str_), values, graphs, pool, scores)
