"""What the store holds of a campaign once it has ended."""

from __future__ import annotations

from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from orchestrator.campaign.audit import AuditPair, audit, rank_correlations
from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import CampaignPlan
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.reliability import pivot, reliability, spread
from orchestrator.store.delta import DeltaLabelStore


def summarise(
    config: CampaignConfig,
    plan: CampaignPlan,
    store: DeltaLabelStore,
    progress: CampaignProgress | None,
    dashboard: str | None,
) -> dict[str, Any]:
    """The final table's content: what the store now holds of this campaign's requests."""
    wanted = {key for request in (*plan.requests, *plan.audit) for key in request.keys}
    every = [r for r in store.labels(space=config.space).to_pylist() if r["key"] in wanted]
    mine = [r for r in every if r["fidelity"] == config.fidelity]
    rows = [r for r in mine if r["task"] == config.task]
    values = [row["value"] for row in rows]
    ends = spread(rows)
    best = max(rows, key=lambda r: float(r["value"]), default=None)
    return {
        "task": config.task,
        "space": config.space,
        "data": config.data,
        "labels": len(rows),
        "missing": len(wanted) - len(every),
        "metric": best["metric"] if best else None,
        "best": {k: best[k] for k in ("architecture", "genotype", "value", "flops", "params")} if best else None,
        "lowest": ends["lowest"],
        "median": median(values) if values else None,
        "highest": ends["highest"],
        "seconds_a_label": sum(map(_seconds, rows)) / len(rows) if rows else None,
        "reliability": ends["reliability"],
        "reliability_by_metric": _trust_by_metric(rows) if ends["reliability"] else {},
        "audit": audited(rows, [r for r in every if r["fidelity"] == "full"]) if config.audit else {},
        "also": {task: spread([r for r in mine if r["task"] == task]) for task in config.also},
        "utilisation": progress.utilisation if progress else None,
        "store": config.store,
        "version": store.version(),
        "dashboard": dashboard,
    }


def audited(rows: list[dict[str, Any]], full: list[dict[str, Any]]) -> dict[str, Any]:
    """How well labels rank the architectures that have one at fidelity full too; seeds are averaged.

    ranks: the correlation of FLOPs and parameters, which cost nothing, and of every score of a proxy.
    """
    cheap, dear = _by_architecture(rows), _by_architecture(full)
    both = sorted(cheap.keys() & dear.keys())
    truth = [dear[a]["value"] for a in both]
    found = audit(
        [AuditPair(cheap[a]["value"], dear[a]["value"], cheap[a]["seconds"], dear[a]["seconds"]) for a in both]
    )
    if found is None:
        return {}
    scores = set(cheap[both[0]]) - {"value", "seconds"}
    columns = {name: [cheap[a][name] for a in both] for name in sorted(scores)}
    return asdict(found) | {"ranks": rank_correlations(columns, truth)}


def _by_architecture(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over seeds."""
    grouped: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        own = {"value": row["value"], "seconds": _seconds(row), "flops": row["flops"], "params": row["params"]}
        scores = dict(row["metrics"]) if row["fidelity"] == "proxy" else {}
        grouped.setdefault(row["architecture"], []).append(scores | own)
    return {name: {key: fmean(r[key] for r in same) for key in same[0]} for name, same in grouped.items()}


def _seconds(row: dict[str, Any]) -> float:
    return sum(float(s) for _, s in row["seconds"])


def _trust_by_metric(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of every metric beside the label: noise in rare classes or small objects leaves some of them alone."""
    tables: dict[str, list[tuple[str, int, float]]] = {}
    for row in rows:
        for name, value in dict(row["metrics"]).items():
            tables.setdefault(name, []).append((row["architecture"], row["seed"], value))
    trusts = {name: reliability(pivot(table)) for name, table in sorted(tables.items())}
    return {
        name: {"spearman": trust.spearman, "variance_ratio": trust.variance_ratio}
        for name, trust in trusts.items()
        if trust is not None
    }
