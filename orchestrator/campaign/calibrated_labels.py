"""Calibrated labels: full labels that are estimated from cheap labels and costs, fitted to audited networks."""

from __future__ import annotations

import hashlib
import json
import platform
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from orchestrator.campaign.audit import Ranking, rank, rank_correlations
from orchestrator.campaign.calibration import MIN_AUDITED, estimate_full_labels, leave_one_out
from orchestrator.errors import ConfigError
from orchestrator.store.base import LabelStore
from predictor.models.base import HALF_WIDTH_90
from workers.messages.calibrated_recipe import FIDELITY, CalibratedRecipe
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.recipe import NETWORK_FIELDS, Recipe
from workers.spaces import get_space
from workers.tasks import get_task

_ALWAYS = ("label", "flops", "params")
_IF_ALL_HAVE_IT = ("synflow",)  # the proxy that ranked best on every task but det, docs/howto/label-cheaply.md
_COLUMNS = [
    "key",
    "architecture",
    "space",
    "genotype",
    "task",
    "data",
    "fingerprint",
    "fidelity",
    "recipe_name",
    "recipe_hash",
    "recipe",
]
_COLUMNS += ["value", "metric", "metrics", "flops", "params"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibrated labels, and how well such estimates rank audited networks that they were not fitted to.

    cheap, full: names of the recipes. columns: what the estimates depend on. ranking: of the audited networks, each
    estimated from the others. ranks: rank correlation of each column with the full labels. covered: share of the full
    labels inside the estimates' 90 % intervals. reports: the labels.
    """

    cheap: str
    full: str
    audited: int
    columns: tuple[str, ...]
    ranking: Ranking
    ranks: Mapping[str, float | None]
    covered: float
    reports: tuple[AttemptReport, ...]

    @property
    def measurements(self) -> list[Measurement]:
        """The content of the labels."""
        return [report.measurement for report in self.reports if report.measurement is not None]


class _Labels:
    """Comparable labels: of one fidelity and recipe."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows, self.first = rows, rows[0]
        self.by_architecture: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            self.by_architecture[row["architecture"]].append(row)

    def means(self, architectures: Sequence[str], name: str = "value") -> list[float]:
        """Return the mean over seeds of a column, or of a metric, for each architecture."""
        return [fmean(_number(row, name) for row in self.by_architecture[a]) for a in architectures]


def calibrate(store: LabelStore, task: str, space: str, data: str) -> Calibration:
    """Estimate the full label of every network that has a cheap one.

    Of several recipes, those count that share most networks. Raises UnknownNameError for an unknown task, and
    ConfigError if fewer than `MIN_AUDITED` networks have labels of both fidelities.
    """
    task = get_task(task).name
    table = store.labels(task=task, space=space, data=data, columns=_COLUMNS)
    groups = defaultdict(list)
    for row in table.to_pylist():
        groups[row["fingerprint"], row["fidelity"], row["recipe_hash"]].append(row)
    labels = [_Labels(rows) for rows in groups.values()]
    cheap, full = _pair(labels, f"task {task}, space {space}, data {data}")
    proxies = _proxies(labels, cheap)
    audited = sorted(cheap.by_architecture.keys() & full.by_architecture.keys())
    truth, known = full.means(audited), _columns(cheap, proxies, audited)
    left_out = leave_one_out(known, truth)
    inside = np.abs(left_out.mean - truth) <= HALF_WIDTH_90 * left_out.deviation
    return Calibration(
        cheap=cheap.first["recipe_name"],
        full=full.first["recipe_name"],
        audited=len(audited),
        columns=tuple(known),
        ranking=rank(left_out.mean.tolist(), truth),
        ranks=rank_correlations(known, truth),
        covered=float(inside.mean()),
        reports=tuple(_reports(store, cheap, full, proxies, audited)),
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


def _proxies(labels: Sequence[_Labels], cheap: _Labels) -> _Labels | None:
    """Return proxies of all networks that have a cheap label, if there are some."""
    for group in labels:
        same = group.first["fidelity"] == "proxy" and group.first["fingerprint"] == cheap.first["fingerprint"]
        if same and cheap.by_architecture.keys() <= group.by_architecture.keys():
            return group
    return None


def _columns(cheap: _Labels, proxies: _Labels | None, architectures: Sequence[str]) -> dict[str, list[float]]:
    columns = {name: cheap.means(architectures, "value" if name == "label" else name) for name in _ALWAYS}
    if proxies is not None:
        columns |= {name: proxies.means(architectures, name) for name in _IF_ALL_HAVE_IT}
    return columns


def _reports(
    store: LabelStore, cheap: _Labels, full: _Labels, proxies: _Labels | None, audited: Sequence[str]
) -> list[AttemptReport]:
    names = sorted(cheap.by_architecture)
    columns = _columns(cheap, proxies, names)
    known = {name: [column[names.index(a)] for a in audited] for name, column in columns.items()}
    began, started = time.perf_counter(), time.time()
    estimate = estimate_full_labels(known, full.means(audited), columns)
    seconds = (time.perf_counter() - began) / len(names)
    recipe, campaign = _recipe(cheap, full, tuple(columns), audited), uuid.uuid4().hex[:12]
    graphs, space = _graphs(store, cheap), get_space(cheap.first["space"])
    reports = []
    for number, name in enumerate(names):
        row = cheap.by_architecture[name][0]
        request = LabelRequest(
            space.architecture(json.loads(row["genotype"])),
            recipe.task,
            str(row["data"]),
            row["fingerprint"],
            FIDELITY,
            recipe,
            seed=0,
        )
        value, deviation = float(estimate.mean[number]), float(estimate.deviation[number])
        measurement = Measurement(
            value,
            full.first["metric"],
            {full.first["metric"]: value, "deviation": deviation, "cheap": columns["label"][number]},
            row["flops"],
            row["params"],
            {"calibrate": seconds},
            graph=graphs.get(name, ""),
        )
        job = LabelJob(request, campaign)
        reports.append(AttemptReport(job, Outcome.OK, "", platform.node(), started, seconds, measurement))
    return reports


def _recipe(cheap: _Labels, full: _Labels, columns: tuple[str, ...], audited: Sequence[str]) -> CalibratedRecipe:
    fields = Recipe.model_validate_json(full.first["recipe"]).model_dump(mode="json", include=set(NETWORK_FIELDS))
    used = [row["key"] for labels in (cheap, full) for name in audited for row in labels.by_architecture[name]]
    fields |= {
        "name": f"{full.first['recipe_name']}.calibrated",
        "cheap": cheap.first["recipe_hash"],
        "full": full.first["recipe_hash"],
        "columns": columns,
        "audited": hashlib.sha256("\n".join(sorted(used)).encode()).hexdigest()[:16],
    }
    return CalibratedRecipe.model_validate(fields)


def _graphs(store: LabelStore, cheap: _Labels) -> dict[str, str]:
    """Return the graphs of the networks with their heads as JSON, by architecture."""
    table = store.graphs(cheap.first["task"], cheap.first["space"], cheap.by_architecture)
    wanted = cheap.first["fingerprint"], cheap.first["recipe_hash"]
    rows = table.select(["architecture", "fingerprint", "recipe_hash", "graph"]).to_pylist()
    return {row["architecture"]: row["graph"] for row in rows if (row["fingerprint"], row["recipe_hash"]) == wanted}


def _number(row: Row, name: str) -> float:
    return float(row[name] if name in row else dict(row["metrics"])[name])
