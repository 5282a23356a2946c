"""Compare verified networks with a reference: labels of a higher fidelity, with the same seeds for all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.stats import t as student

Seeds = Mapping[int, float]  # labels by seed
_CONFIDENCE = 0.90  # of the intervals, two-sided


@dataclass(frozen=True, slots=True)
class Comparison:
    """A network against the reference.

    value: mean over seeds. difference: to the reference over their common seeds. low, high: its 90 % interval; None
    with one seed. verdict: better, no worse, worse, or unknown with one seed.
    """

    value: float
    difference: float
    low: float | None
    high: float | None
    verdict: str


def compare(networks: Mapping[str, Seeds], reference: Seeds) -> dict[str, Comparison]:
    """Compare the labels of networks with those of the reference; networks without a common seed are left out.

    All networks are trained with the same seeds, so that differences are taken seed by seed. Their deviation is pooled
    over all networks: two seeds of one say little. "better" and "worse": the 90 % interval excludes 0.
    """
    pairs = {name: [seeds[s] - reference[s] for s in seeds if s in reference] for name, seeds in networks.items()}
    pairs = {name: differences for name, differences in pairs.items() if differences}
    deviation, freedom = _pooled(pairs.values())
    found = {}
    for name, differences in pairs.items():
        value, difference = fmean(networks[name].values()), fmean(differences)
        if not freedom:
            found[name] = Comparison(value, difference, None, None, "unknown")
            continue
        half = float(student.ppf(0.5 + _CONFIDENCE / 2, freedom)) * deviation / math.sqrt(len(differences))
        low, high = difference - half, difference + half
        verdict = "better" if low > 0 else "worse" if high < 0 else "no worse"
        found[name] = Comparison(value, difference, low, high, verdict)
    return found


def _pooled(groups: Iterable[list[float]]) -> tuple[float, int]:
    """Return the pooled standard deviation within groups and its degrees of freedom."""
    squares, freedom = 0.0, 0
    for values in groups:
        squares += float(((np.array(values) - fmean(values)) ** 2).sum())
        freedom += len(values) - 1
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom
