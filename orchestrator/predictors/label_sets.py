"""A store's labels as predictors learn from them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from orchestrator.predictors.snapshot import ProgressCallback, Snapshot, graph_key
from orchestrator.store.base import LabelStore
from predictor.features.graph_pool import GraphPool
from predictor.label_set import PROXIES, Floats, LabelSet

KIND = ("space", "task", "data", "fidelity", "recipe_name", "recipe_hash")  # labels alike in these can be ranked
Kind = tuple[str, ...]


def read_label_sets(
    store: LabelStore, show: ProgressCallback = lambda done, total: None, version: int | None = None
) -> tuple[list[LabelSet], int]:
    """The sets of a store, by name, and how many labels have no graph and were left out.

    Labels that differ in the seed alone count once, by their mean. Proxies are no labels, but told beside them.
    """
    sets, without = label_sets_of(
        Snapshot.nothing().grown(store, store.version() if version is None else version, show)
    )
    return list(sets.values()), without


def label_sets_of(snapshot: Snapshot) -> tuple[dict[Kind, LabelSet], int]:
    """The same from what was read already, by kind."""
    everything = snapshot.rows.to_pylist()
    rows, scored = ([r for r in everything if (r["fidelity"] == "proxy") is proxy] for proxy in (False, True))
    proxies, places = _proxies(scored), snapshot.places()
    groups: dict[Kind, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    without = 0
    for row in rows:
        place = places.get(graph_key(row))
        if place is None:
            without += 1
            continue
        groups[kind_of(row)][row["architecture"]].append((place, row["value"]))
    names = _names(list(groups))
    sets = {kind: _label_set(names[kind], kind, labels, snapshot.pool, proxies) for kind, labels in groups.items()}
    return dict(sorted(sets.items(), key=lambda item: item[1].name)), without


def _proxies(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Floats]:
    """By architecture and task, the mean of what was scored, on whatever data: such scores say much of the network."""
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for row in rows:
        scores = dict(row["metrics"])
        found[row["architecture"], row["task"]].append([scores.get(name, float("nan")) for name in PROXIES])
    return {key: np.mean(values, axis=0) for key, values in found.items()}


def kind_of(row: Mapping[str, Any]) -> Kind:
    """The kind of a label by its columns `KIND` and its genotype."""
    return (_space(row), *(row[column] for column in KIND[1:]))


def _space(row: Mapping[str, Any]) -> str:
    """Published detectors are ranked within their family, with which the name of their configuration begins."""
    if row["space"] != "mmdet":
        return str(row["space"])
    config: str = json.loads(row["genotype"])["config"]
    return f"mmdet-{config.rsplit('/', 1)[-1].split('_')[0]}"


def _names(kinds: list[Kind]) -> dict[Kind, str]:
    """SPACE/TASK/DATA, with as much of fidelity and recipe as it takes to tell sets apart."""
    names = {kind: "/".join(kind[:3]) for kind in kinds}
    for part in range(3, 6):
        taken = Counter(names.values())
        names = {kind: f"{name}/{kind[part]}" if taken[name] > 1 else name for kind, name in names.items()}
    return names


def _label_set(
    name: str,
    kind: Kind,
    labels: dict[str, list[tuple[int, float]]],
    pool: GraphPool,
    proxies: dict[tuple[str, str], Floats],
) -> LabelSet:
    architectures = sorted(labels)
    values = np.array([np.mean([value for _, value in labels[a]]) for a in architectures], np.float64)
    graphs = np.array([labels[a][0][0] for a in architectures], np.int64)
    unknown = np.full(len(PROXIES), np.nan)
    scores = np.array([proxies.get((a, kind[1]), unknown) for a in architectures]).reshape(-1, len(PROXIES))
    space, task, data, *recipe = kind
    names = np.array(architectures, np.str_)
    return LabelSet(name, space, task, data, names, values, graphs, pool, scores, ("/".join(recipe),))
