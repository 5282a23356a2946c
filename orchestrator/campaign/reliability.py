"""The reliability of labels: agreement between seeds, and variance between architectures relative to seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import rank_correlation


@dataclass(frozen=True, slots=True)
class Reliability:
    """Reliability over architectures labelled with every seed.

    spearman: mean rank correlation over pairs of seeds; None if a seed's labels are all equal. variance_ratio: variance
    between architectures (variance of their means minus the seeds' share) divided by the variance between seeds, after
    removing every seed's mean; None if the seeds agree exactly. residual_deviation: standard deviation between seeds of
    one architecture, after removing every seed's mean, in the label's metric.
    """

    architectures: int
    seeds: int
    spearman: float | None
    variance_ratio: float | None
    residual_deviation: float


def reliability(values: NDArray[np.float64]) -> Reliability | None:
    """Compute reliability from labels (architectures, seeds); None for fewer than 3 architectures or 2 seeds."""
    count, seeds = values.shape
    if count < 3 or seeds < 2:
        return None
    first, second = np.triu_indices(seeds, 1)
    rho = float(rank_correlation(values.T[first], values.T[second]).mean())
    centred = values - values.mean(0)
    means = centred.mean(1, keepdims=True)
    within = float(((centred - means) ** 2).sum() / ((count - 1) * (seeds - 1)))
    between = max(0.0, float((means**2).sum() / (count - 1)) - within / seeds)
    ratio = between / within if within > 0 else None
    return Reliability(count, seeds, rho if np.isfinite(rho) else None, ratio, within**0.5)


def pivot(rows: list[tuple[str, int, float]]) -> NDArray[np.float64]:
    """Arrange (architecture, seed, value) rows as (architectures, seeds); skip architectures without all seeds."""
    seeds = sorted({seed for _, seed, _ in rows})
    table = {(architecture, seed): value for architecture, seed, value in rows}
    complete = [a for a in dict.fromkeys(a for a, _, _ in rows) if all((a, s) in table for s in seeds)]
    return np.array([[table[a, s] for s in seeds] for a in complete]).reshape(len(complete), len(seeds))


def label_statistics(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number, range and reliability of labels that can be compared, from rows of the store."""
    values = [row["value"] for row in rows]
    agreement = reliability(pivot([(r["architecture"], r["seed"], r["value"]) for r in rows])) if rows else None
    extremes = {"lowest": min(values, default=None), "highest": max(values, default=None)}
    return {"labels": len(rows), **extremes, "reliability": asdict(agreement) if agreement else None}
