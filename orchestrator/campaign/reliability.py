"""The reliability of labels: agreement between seeds, and variance between architectures relative to seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.predictors.ranking import pairwise_rank_correlations

MEANINGFUL = 0.8  # rank correlation of seeds, or of means over seeds, from which single differences mean something
MOST_SEEDS = 8  # more of a cheap label cost as much as a whole training


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


def mean_agreement(spearman: float, seeds: int) -> float:
    """Return the correlation to expect of means over `seeds` seeds with means over as many other seeds.

    spearman: of single seeds. It is returned as it is if it is not above 0: more seeds do not help. Spearman-Brown
    formula, for independent noise.
    """
    return seeds * spearman / (1 + (seeds - 1) * spearman) if spearman > 0 else spearman


def seeds_needed(spearman: float, wanted: float = MEANINGFUL) -> int | None:
    """Return the least number of seeds whose means agree by `wanted`; None if even `MOST_SEEDS` do not."""
    if spearman <= 0:
        return None
    counts = range(1, MOST_SEEDS + 1)
    return next((seeds for seeds in counts if mean_agreement(spearman, seeds) >= wanted), None)


def reliability(values: NDArray[np.float64]) -> Reliability | None:
    """Compute reliability from labels (architectures, seeds); None for fewer than 3 architectures or 2 seeds."""
    count, seeds = values.shape
    if count < 3 or seeds < 2:
        return None
    rho = float(pairwise_rank_correlations(values.T).mean())
    centred = values - values.mean(0)
    means = centred.mean(1, keepdims=True)
    within = float(((centred - means) ** 2).sum() / ((count - 1) * (seeds - 1)))
    between = max(0.0, float((means**2).sum() / (count - 1)) - within / seeds)
    ratio = between / within if within > 0 else None
    return Reliability(count, seeds, rho if np.isfinite(rho) else None, ratio, within**0.5)


def pivot(rows: list[tuple[str, int, float]]) -> NDArray[np.float64]:
    """Arrange (architecture, seed, value) rows as (architectures, seeds); skip architectures without all seeds."""
    codes: dict[str, int] = {}
    architectures = np.array([codes.setdefault(architecture, len(codes)) for architecture, _, _ in rows], np.int64)
    seeds, values = np.array([row[1] for row in rows], np.int64), np.array([row[2] for row in rows], np.float64)
    return pivot_columns(architectures, seeds, values)


def pivot_columns(
    architectures: NDArray[np.int64], seeds: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Arrange (N,) columns as (architectures, seeds); skip architectures without all seeds.

    architectures: a number for each. They keep the order in which they first occur.
    """
    _, first, row = np.unique(architectures, return_index=True, return_inverse=True)
    names, column = np.unique(seeds, return_inverse=True)
    table, filled = np.zeros((len(first), len(names))), np.zeros((len(first), len(names)), np.bool_)
    table[row, column], filled[row, column] = values, True
    order = np.argsort(first)
    return np.asarray(table[order][filled[order].all(1)])


def label_statistics(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number, range and reliability of labels that can be compared, from rows of the store."""
    values = [row["value"] for row in rows]
    return _statistics(values, pivot([(r["architecture"], r["seed"], r["value"]) for r in rows]))


def column_statistics(
    architectures: NDArray[np.int64], seeds: NDArray[np.int64], values: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the same as `label_statistics` from columns, see `pivot_columns`."""
    return _statistics(values, pivot_columns(architectures, seeds, values))


def _statistics(values: Sequence[float] | NDArray[np.float64], table: NDArray[np.float64]) -> dict[str, Any]:
    agreement = reliability(table)
    lowest, highest = (float(np.min(values)), float(np.max(values))) if len(values) else (None, None)
    extremes = {"lowest": lowest, "highest": highest}
    return {"labels": len(values), **extremes, "reliability": asdict(agreement) if agreement else None}
