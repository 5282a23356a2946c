"""Calibrated labels: full labels that are estimated from smoothed cheap labels and graphs, with audited networks."""

from __future__ import annotations

import hashlib
import json
import platform
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from orchestrator.campaign.audit import Ranking, rank, rank_correlations
from orchestrator.campaign.calibration import MIN_AUDITED, CheapLabels, estimate_full_labels, held_out_estimates
from orchestrator.errors import ConfigError
from orchestrator.predictors.label_sets import LabelSetIdentity
from orchestrator.search.surrogate import surrogate_for
from orchestrator.store.base import LabelStore
from predictor.features.graph_pool import GraphPool
from predictor.graph import Graph
from predictor.label_set import Floats, LabelSet
from predictor.models.base import HALF_WIDTH_90, Prediction
from workers.messages.calibrated_recipe import FIDELITY, CalibratedRecipe
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.recipe import NETWORK_FIELDS, Recipe
from workers.spaces import get_space
from workers.tasks import get_task

_NETWORK = ["key", "architecture", "space", "genotype", "flops", "params"]
_SET = ["task", "data", "fingerprint", "fidelity", "recipe_name", "recipe_hash", "recipe", "metric"]
_COLUMNS = [*_NETWORK, *_SET, "value"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibrated labels, and how well such estimates rank the audited networks.

    cheap, full: names of the recipes. ranking: of the audited networks by estimates from the other audited networks.
    ranks: rank correlation of cheap labels, raw and smoothed, and of costs with the full labels. covered: share
    of full labels inside the 90 % intervals of estimates from the other audited networks. deviation: mean standard
    deviation of an estimate. reports: the labels.
    """

    cheap: str
    full: str
    audited: int
    ranking: Ranking
    ranks: Mapping[str, float | None]
    covered: float
    deviation: float
    reports: tuple[AttemptReport, ...]


class _Labels:
    """Comparable labels: of one fidelity and recipe."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows, self.first = rows, rows[0]
        self.by_architecture: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            self.by_architecture[row["architecture"]].append(row)

    def means(self, architectures: Sequence[str], name: str = "value") -> list[float]:
        """Return the mean over seeds of a column for each architecture."""
        return [fmean(row[name] for row in self.by_architecture[a]) for a in architectures]


def calibrate(
    store: LabelStore,
    task: str,
    space: str,
    data: str,
    predictors: Path = Path("predictors"),
    observer: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Estimate the full label of every network that has a cheap one.

    Of several recipes, those count that share most networks. Raises UnknownNameError for an unknown task, and
    ConfigError if fewer than `MIN_AUDITED` networks have labels of both fidelities.

    predictors: folder of generations. The one in use, or the one of the package, learns the cheap labels.
    observer: gets how many groups of audited networks are estimated, and of how many; each takes a second or more.
    """
    task = get_task(task).name
    table = store.labels(task=task, space=space, data=data, columns=_COLUMNS)
    groups = defaultdict(list)
    for row in table.to_pylist():
        groups[row["fingerprint"], row["fidelity"], row["recipe_hash"]].append(row)
    cheap, full = _pair([_Labels(rows) for rows in groups.values()], f"task {task}, space {space}, data {data}")
    graphs = dict(sorted(_graphs(store, cheap).items()))
    names, identity = [*graphs], LabelSetIdentity.of_label(cheap.first)
    labels = _label_set(cheap, graphs, identity)
    columns = {"label": labels.values, "smoothed": _smoothed(labels, identity, predictors)}
    columns |= {cost: np.array(cheap.means(names, cost)) for cost in ("flops", "params")}
    audited = [number for number, name in enumerate(names) if name in full.by_architecture]
    truth = full.means([names[number] for number in audited])
    inputs = CheapLabels(columns["smoothed"], labels.table)
    began, estimate = time.perf_counter(), estimate_full_labels(inputs, audited, truth)
    seconds, held_out = time.perf_counter() - began, held_out_estimates(inputs, audited, truth, observer)
    inside = np.abs(held_out.mean - truth) <= HALF_WIDTH_90 * held_out.deviation
    rows = _estimates(names, columns["label"].tolist(), estimate)
    recipe = _recipe(cheap, full, rows)
    return Calibration(
        cheap=cheap.first["recipe_name"],
        full=full.first["recipe_name"],
        audited=len(audited),
        ranking=rank(held_out.mean.tolist(), truth),
        ranks=rank_correlations({name: column[audited].tolist() for name, column in columns.items()}, truth),
        covered=float(inside.mean()),
        deviation=float(estimate.deviation.mean()),
        reports=tuple(_reports(graphs, cheap, recipe, full.first["metric"], rows, seconds)),
    )


def _pair(labels: Sequence[_Labels], where: str) -> tuple[_Labels, _Labels]:
    """Return the cheap and the full labels that share most networks."""
    by_fidelity = {f: [group for group in labels if group.first["fidelity"] == f] for f in ("shared", "full")}
    pairs = [
        (len(cheap.by_architecture.keys() & full.by_architecture.keys()), cheap, full)
        for cheap in by_fidelity["shared"]
        for full in by_fidelity["full"]
        if cheap.first["fingerprint"] == full.first["fingerprint"]
    ]
    count, *best = max(pairs, key=lambda pair: (pair[0], len(pair[1].rows)), default=(0,))
    if count < MIN_AUDITED:
        raise ConfigError(
            f"{where}: {count} networks have both a cheap and a full label, but {MIN_AUDITED} are needed: run "
            "`orchestrator label --audit 12` with the same task, space and data"
        )
    return best[0], best[1]


def _label_set(cheap: _Labels, graphs: Mapping[str, str], identity: LabelSetIdentity) -> LabelSet:
    """Return the cheap labels. graphs: as JSON by architecture, in the order of the set."""
    values, ids = np.array(cheap.means([*graphs])), np.array([*graphs], np.str_)
    pool, rows = GraphPool.of(map(Graph.from_json, graphs.values())), np.arange(len(graphs))
    names = identity.short_name, identity.space, identity.task, identity.data
    return LabelSet(*names, ids, values, rows, pool, recipes=(identity.recipe,))


def _smoothed(labels: LabelSet, identity: LabelSetIdentity, predictors: Path) -> Floats:
    """Return what the predictor gives for each network once it has learned the labels of all of them.

    That averages out the noise of single labels.
    """
    surrogate, _ = surrogate_for(predictors, identity)
    predict = surrogate.adapted(labels)
    return predict(replace(labels, values=np.full(len(labels), np.nan))).mean


def _estimates(names: Sequence[str], cheap: Sequence[float], estimate: Prediction) -> dict[str, dict[str, float]]:
    """Return mean, deviation and cheap label by architecture."""
    table = zip(names, estimate.mean.tolist(), estimate.deviation.tolist(), cheap, strict=True)
    return {name: {"mean": mean, "deviation": sd, "cheap": label} for name, mean, sd, label in table}


def _reports(
    graphs: Mapping[str, str],
    cheap: _Labels,
    recipe: CalibratedRecipe,
    metric: str,
    estimates: Mapping[str, Mapping[str, float]],
    seconds: float,
) -> list[AttemptReport]:
    """Return the labels. seconds: that the estimates took together."""
    space = get_space(cheap.first["space"])
    campaign, each = uuid.uuid4().hex[:12], seconds / len(estimates)
    reports = []
    for name, estimate in estimates.items():
        row = cheap.by_architecture[name][0]
        architecture = space.architecture(json.loads(row["genotype"]))
        request = LabelRequest(architecture, recipe.task, row["data"], row["fingerprint"], FIDELITY, recipe, seed=0)
        measurement = Measurement(
            estimate["mean"],
            metric,
            {metric: estimate["mean"], "deviation": estimate["deviation"], "cheap": estimate["cheap"]},
            row["flops"],
            row["params"],
            {"calibrate": each},
            graph=graphs[name],
        )
        job = LabelJob(request, campaign)
        reports.append(AttemptReport(job, Outcome.OK, "", platform.node(), time.time(), each, measurement))
    return reports


def _recipe(cheap: _Labels, full: _Labels, estimates: Mapping[str, Mapping[str, float]]) -> CalibratedRecipe:
    fields = Recipe.model_validate_json(full.first["recipe"]).model_dump(mode="json", include=set(NETWORK_FIELDS))
    lines = (f"{name} {one['mean']:.6g} {one['deviation']:.6g}" for name, one in estimates.items())
    fields |= {
        "name": f"{full.first['recipe_name']}.calibrated",
        "cheap": cheap.first["recipe_hash"],
        "full": full.first["recipe_hash"],
        "estimates": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
    }
    return CalibratedRecipe.model_validate(fields)


def _graphs(store: LabelStore, cheap: _Labels) -> dict[str, str]:
    """Return the graphs of the networks with their heads as JSON, by architecture."""
    table = store.graphs(cheap.first["task"], cheap.first["space"], cheap.by_architecture)
    wanted = cheap.first["fingerprint"], cheap.first["recipe_hash"]
    rows = table.select(["architecture", "fingerprint", "recipe_hash", "graph"]).to_pylist()
    return {row["architecture"]: row["graph"] for row in rows if (row["fingerprint"], row["recipe_hash"]) == wanted}
