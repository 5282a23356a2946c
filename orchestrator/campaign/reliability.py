"""How far labels can be trusted: agreement between seeds, and variance between architectures against theirs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import rank_correlation


@dataclass(frozen=True, slots=True)
class Reliability:
    """Over architectures labelled with every seed.

    spearman: mean rank correlation over pairs of seeds; None where a seed's labels are all equal. variance_ratio:
    variance between architectures (what is left of that of their means after the seeds' share) over variance between
    seeds, once every seed's common offset is removed; None where the seeds agree exactly.
    """

    architectures: int
    seeds: int
    spearman: float | None
    variance_ratio: float | None


def reliability(values: NDArray[np.float64]) -> Reliability | None:
    """From labels (architectures, seeds); None when there are fewer than 3 architectures or 2 seeds."""
    count, seeds = values.shape
    if count < 3 or seeds < 2:
        return None
    first, second = np.triu_indices(seeds, 1)
    rho = float(rank_correlation(values.T[first], values.T[second]).mean())
    centred = values - values.mean(0)
    means = centred.mean(1, keepdims=True)
    within = float(((centred - means) ** 2).sum() / ((count - 1) * (seeds - 1)))
    between = max(0.0, float((means**2).sum() / (count - 1)) - within / seeds)
    return Reliability(count, seeds, rho if np.isfinite(rho) else None, between / within if within > 0 else None)


def pivot(rows: list[tuple[str, int, float]]) -> NDArray[np.float64]:
    """(architectures, seeds) from (architecture, seed, value) rows; architectures that lack a seed are left out."""
    seeds = sorted({seed for _, seed, _ in rows})
    table = {(architecture, seed): value for architecture, seed, value in rows}
    whole = [a for a in dict.fromkeys(a for a, _, _ in rows) if all((a, s) in table for s in seeds)]
    return np.array([[table[a, s] for s in seeds] for a in whole]).reshape(len(whole), len(seeds))


def spread(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Labels that compare, rows of the store: how many, from where to where, how reliable."""
    values = [row["value"] for row in rows]
    trust = reliability(pivot([(r["architecture"], r["seed"], r["value"]) for r in rows])) if rows else None
    ends = {"lowest": min(values, default=None), "highest": max(values, default=None)}
    return {"labels": len(rows), **ends, "reliability": asdict(trust) if trust else None}
