"""Summarise the labels of a campaign that has ended."""

from __future__ import annotations

from dataclasses import asdict
from statistics import fmean, median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.campaign.audit import AuditPair, audit, rank_correlations
from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.known_reliability import known_reliability
from orchestrator.campaign.missing import group_failures
from orchestrator.campaign.plan import CampaignPlan
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.reliability import label_statistics, pivot, reliability
from orchestrator.store.delta import DeltaLabelStore

_SHOWN = 10  # networks in the table


def summarise(
    config: CampaignConfig,
    plan: CampaignPlan,
    store: DeltaLabelStore,
    progress: CampaignProgress | None,
    dashboard: str | None,
) -> dict[str, Any]:
    """Return the content of the final table: the labels in the store that belong to this campaign's requests.

    "points" has FLOPs and value of every network, for a picture; all else is for people and programs alike.
    """
    wanted = {key for request in (*plan.requests, *plan.audit) for key in request.keys}
    own = pc.field("key").isin(pa.array(sorted(wanted), pa.string()))
    stored = [row for space in plan.spaces for row in store.labels(space=space).filter(own).to_pylist()]
    own_fidelity = [r for r in stored if r["fidelity"] == config.fidelity]
    rows = [r for r in own_fidelity if r["task"] == config.task]
    values = [row["value"] for row in rows]
    failures = _failures(plan, store, {row["key"] for row in stored}, progress, config.task)
    statistics = label_statistics(rows)
    best = max(rows, key=lambda r: float(r["value"]), default=None)
    networks, known = ranked_networks(rows), known_reliability(plan.requests[0])
    return {
        "task": config.task,
        "space": ", ".join(plan.spaces),
        "data": config.data,
        "fidelity": config.fidelity,
        "labels": len(rows),
        "missing": len(wanted) - len(stored),
        "failures": failures,
        "metric": best["metric"] if best else None,
        "best": {k: best[k] for k in ("architecture", "genotype", "value", "flops", "params")} if best else None,
        "networks": networks[:_SHOWN],
        "points": [(network["flops"], network["value"]) for network in networks],
        "lowest": statistics["lowest"],
        "median": median(values) if values else None,
        "highest": statistics["highest"],
        "seconds_a_label": sum(map(_seconds, rows)) / len(rows) if rows else None,
        "reliability": statistics["reliability"],
        "known_reliability": known.model_dump() if known and not statistics["reliability"] else None,
        "reliability_by_metric": _reliability_by_metric(rows) if statistics["reliability"] else {},
        "audit": audit_summary(rows, [r for r in stored if r["fidelity"] == "full"]) if config.audit else {},
        "also": {task: label_statistics([r for r in own_fidelity if r["task"] == task]) for task in config.also},
        "utilisation": progress.utilisation if progress else None,
        "store": config.store,
        "version": store.version(),
        "dashboard": dashboard,
    }


def _failures(
    plan: CampaignPlan, store: DeltaLabelStore, stored: set[str], progress: CampaignProgress | None, task: str
) -> list[dict[str, Any]]:
    """Return why labels are missing, see `group_failures`."""
    missing: dict[str, int] = {}
    for request in (*plan.requests, *plan.audit):
        if count := len(set(request.keys) - stored):
            missing[request.key] = count
    if not missing:
        return []
    columns = ["key", "attempt", "outcome", "message", "started", "final"]
    attempts = [r for space in plan.spaces for r in store.attempts(task, space).select(columns).to_pylist()]
    ended = progress.problem if progress is not None else None
    return group_failures(attempts, missing, ended or "the campaign ended before it was their turn")


def ranked_networks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All networks, the best first, with the means over their seeds."""
    genotypes = {row["architecture"]: row["genotype"] for row in rows}
    means = [
        {"architecture": name, "genotype": genotypes[name], **mean} for name, mean in _by_architecture(rows).items()
    ]
    means.sort(key=lambda row: (-row["value"], row["flops"], row["architecture"]))
    kept = ("architecture", "genotype", "value", "flops", "params", "seconds")
    return [{name: row[name] for name in kept} for row in means]


def audit_summary(rows: list[dict[str, Any]], full: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare labels with the labels at fidelity full of the same architectures, averaged over seeds.

    The key "ranks" holds the correlation of FLOPs, of parameters, and of every score if the labels are proxies.
    """
    cheap, trained = _by_architecture(rows), _by_architecture(full)
    both = sorted(cheap.keys() & trained.keys())
    truth = [trained[a]["value"] for a in both]
    result = audit(
        [AuditPair(cheap[a]["value"], trained[a]["value"], cheap[a]["seconds"], trained[a]["seconds"]) for a in both]
    )
    if result is None:
        return {}
    scores = set(cheap[both[0]]) - {"value", "seconds"}
    columns = {name: [cheap[a][name] for a in both] for name in sorted(scores)}
    return asdict(result) | {"ranks": rank_correlations(columns, truth)}


def _by_architecture(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean value, seconds, FLOPs, parameters and scores of every architecture over its seeds."""
    grouped: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        numbers = {"value": row["value"], "seconds": _seconds(row), "flops": row["flops"], "params": row["params"]}
        scores = dict(row["metrics"]) if row["fidelity"] == "proxy" else {}
        grouped.setdefault(row["architecture"], []).append(scores | numbers)
    return {name: {key: fmean(r[key] for r in same) for key in same[0]} for name, same in grouped.items()}


def _seconds(row: dict[str, Any]) -> float:
    return sum(float(s) for _, s in row["seconds"])


def _reliability_by_metric(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Reliability of every metric. Noise in rare classes or small objects may affect only some metrics."""
    tables: dict[str, list[tuple[str, int, float]]] = {}
    for row in rows:
        for name, value in dict(row["metrics"]).items():
            tables.setdefault(name, []).append((row["architecture"], row["seed"], value))
    reliabilities = {name: reliability(pivot(table)) for name, table in sorted(tables.items())}
    return {
        name: {"spearman": metric.spearman, "variance_ratio": metric.variance_ratio}
        for name, metric in reliabilities.items()
        if metric is not None
    }
