"""The label sets of a store, as predictors are trained on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from orchestrator.predictors.families import family_of
from orchestrator.predictors.snapshot import GraphsReadCallback, Snapshot, graph_key
from orchestrator.store.base import LabelStore
from predictor.features.graph_pool import GraphPool
from predictor.label_set import PROXIES, Floats, LabelSet
from workers.messages.label import LabelRequest
from workers.messages.published_recipe import FIDELITY as PUBLISHED

IDENTITY_COLUMNS = ("space", "task", "data", "fidelity", "recipe_name", "recipe_hash", "metric")
_WITHOUT_METRIC = len(IDENTITY_COLUMNS) - 1  # parts of a kind that has no metric


@dataclass(frozen=True, slots=True)
class LabelSetIdentity:
    """What the labels of one set have in common: only labels that agree in all of it can be ranked.

    Published detectors are ranked within their family, so that their space is "mmdet-FAMILY". Families of published
    segmentors and pose networks have few members each, and are ranked together.
    metric: of published labels; empty for our own, whose task has one metric, and for published sets of generations
    that did not record it.
    """

    space: str
    task: str
    data: str
    fidelity: str
    recipe_name: str
    recipe_hash: str
    metric: str = ""

    @classmethod
    def of_label(cls, row: Mapping[str, Any]) -> LabelSetIdentity:
        """Return the identity of the set that a label belongs to, by its `IDENTITY_COLUMNS` and its genotype."""
        metric = row["metric"] if row["fidelity"] == PUBLISHED else ""
        return replace(cls(_ranked_space(row), *(row[column] for column in IDENTITY_COLUMNS[1:-1])), metric=metric)

    @classmethod
    def of_request(cls, request: LabelRequest) -> LabelSetIdentity:
        """Return the identity of the set that the requested label will belong to."""
        recipe, space = request.recipe, request.architecture.space
        return cls(space, request.task, request.data, request.fidelity, recipe.name, recipe.hash)

    @classmethod
    def from_kind(cls, kind: Sequence[str]) -> LabelSetIdentity | None:
        """Inverse of `to_kind`; None for generations that did not record it."""
        return cls(*kind) if len(kind) in (_WITHOUT_METRIC, _WITHOUT_METRIC + 1) else None

    def to_kind(self) -> tuple[str, ...]:
        """Return the fields in the order in which a generation stores them, as "kind", without an empty metric."""
        return astuple(self) if self.metric else astuple(self)[:_WITHOUT_METRIC]

    @property
    def short_name(self) -> str:
        """SPACE/TASK/DATA."""
        return f"{self.space}/{self.task}/{self.data}"

    def without_metric(self) -> LabelSetIdentity:
        """Return the identity as generations recorded it that did not know metrics."""
        return replace(self, metric="")

    @property
    def recipe(self) -> str:
        """FIDELITY/NAME/HASH, stored with a generation's source tasks."""
        return "/".join((self.fidelity, self.recipe_name, self.recipe_hash))


def read_label_sets(
    store: LabelStore, show: GraphsReadCallback = lambda done, total: None, version: int | None = None
) -> tuple[list[LabelSet], int]:
    """Return the label sets of a store, sorted by name, and the number of labels that were skipped without a graph.

    Labels that differ only in the seed are averaged. Proxy scores are no labels; they are inputs of the other labels.
    """
    version = store.version() if version is None else version
    sets, without_graph = build_label_sets(Snapshot.empty().updated_to(store, version, show))
    return list(sets.values()), without_graph


def build_label_sets(snapshot: Snapshot) -> tuple[dict[LabelSetIdentity, LabelSet], int]:
    """Return the label sets of a snapshot, sorted by name, and the number of labels that were skipped without a graph.

    See `read_label_sets`.
    """
    all_rows = snapshot.rows.to_pylist()
    label_rows, proxy_rows = ([r for r in all_rows if (r["fidelity"] == "proxy") is proxy] for proxy in (False, True))
    proxies, graphs = _mean_proxies(proxy_rows), snapshot.graph_indices()
    groups: dict[LabelSetIdentity, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    families, without_graph = dict[str, str](), 0
    for row in label_rows:
        graph = graphs.get(graph_key(row))
        if graph is None:
            without_graph += 1
            continue
        groups[LabelSetIdentity.of_label(row)][row["architecture"]].append((graph, row["value"]))
        families[row["architecture"]] = family_of(row["space"], row["genotype"])
    data = _data_names(groups, label_rows)
    names = _unique_names(data)
    sets = {
        identity: _label_set(names[identity], data[identity], identity, labels, snapshot.pool, proxies, families)
        for identity, labels in groups.items()
    }
    return dict(sorted(sets.items(), key=lambda item: item[1].name)), without_graph


def _data_names(
    identities: Collection[LabelSetIdentity], rows: Sequence[Mapping[str, Any]]
) -> dict[LabelSetIdentity, str]:
    """Return the name of each set's data: DATA@METRIC for labels of another metric than the first one stored.

    Models take all sets of one task and data for labels of one kind, so metrics must not share a name. The first one
    keeps the name without a metric, also when others are imported later.
    """
    first: dict[tuple[str, str], tuple[Any, str]] = {}
    for row in rows:
        if row["fidelity"] == PUBLISHED:
            key, candidate = (row["task"], row["data"]), (row["started"], row["metric"])
            first[key] = min(first.get(key, candidate), candidate)
    return {
        identity: identity.data
        if not identity.metric or identity.metric == first[identity.task, identity.data][1]
        else f"{identity.data}@{identity.metric}"
        for identity in identities
    }


def _unique_names(data: Mapping[LabelSetIdentity, str]) -> dict[LabelSetIdentity, str]:
    """Return SPACE/TASK/DATA for each identity, followed by fidelity and recipe as far as names would be equal.

    data: the name of each set's data.
    """
    names = {identity: f"{identity.space}/{identity.task}/{name}" for identity, name in data.items()}
    for field in ("fidelity", "recipe_name", "recipe_hash"):
        uses = Counter(names.values())
        names = {
            identity: f"{name}/{getattr(identity, field)}" if uses[name] > 1 else name
            for identity, name in names.items()
        }
    return names


def _mean_proxies(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Floats]:
    """Return mean proxy scores by architecture and task, over all data: they depend on the network most of all."""
    by_network: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for row in rows:
        scores = dict(row["metrics"])
        by_network[row["architecture"], row["task"]].append([scores.get(name, float("nan")) for name in PROXIES])
    return {key: np.mean(values, axis=0) for key, values in by_network.items()}


def _ranked_space(row: Mapping[str, Any]) -> str:
    """Return the label's space; of a published detector with its family."""
    space = str(row["space"])
    return f"{space}-{family_of(space, row['genotype'])}" if space == "mmdet" else space


def _label_set(
    name: str,
    data: str,
    identity: LabelSetIdentity,
    labels: Mapping[str, list[tuple[int, float]]],
    pool: GraphPool,
    proxies: Mapping[tuple[str, str], Floats],
    families: Mapping[str, str],
) -> LabelSet:
    """Return one set. labels: by architecture, the graph's index and the value of each seed. families: likewise."""
    architectures = sorted(labels)
    missing = np.full(len(PROXIES), np.nan)
    scores = [proxies.get((architecture, identity.task), missing) for architecture in architectures]
    return LabelSet(
        name=name,
        space=identity.space,
        task=identity.task,
        data=data,
        architectures=np.array(architectures, np.str_),
        values=np.array([np.mean([value for _, value in labels[a]]) for a in architectures], np.float64),
        graphs=np.array([labels[a][0][0] for a in architectures], np.int64),
        pool=pool,
        proxies=np.array(scores).reshape(-1, len(PROXIES)),
        recipes=(identity.recipe,),
        families=np.array([families[a] for a in architectures], np.str_) if families[architectures[0]] else None,
    )
