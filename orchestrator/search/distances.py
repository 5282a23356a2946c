"""Distances between networks by the statistics of their graphs, and which of them are near duplicates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

SAME = 1e-6  # distance below which two graphs count as equal
_LIMIT = 4.0  # standard deviations to which statistics are clipped
_TINY = 1e-9


def standardised(table: Floats) -> Floats:
    """Return (n, columns) statistics as standard scores, divided by the root of the number of columns that vary.

    The Euclidean distance of two rows is then the root mean square of their differences, in standard deviations. Scores
    are clipped to 4. A column that is constant becomes 0.
    """
    if not len(table):
        return table
    deviation = table.std(axis=0)
    varies = deviation > _TINY
    scores = np.divide(table - table.mean(axis=0), deviation, out=np.zeros_like(table), where=varies)
    scaled: Floats = np.clip(scores, -_LIMIT, _LIMIT) / np.sqrt(max(1, varies.sum()))
    return scaled


def distances_to(points: Floats, row: Floats) -> Floats:
    """Return (n,) Euclidean distances of (n, columns) points to one."""
    return np.asarray(np.sqrt(((points - row) ** 2).sum(axis=1)), np.float64)


def nearest_distances(points: Floats, others: Floats) -> Floats:
    """Return (n,) the distance of each point to the nearest of the others; infinity if there are none."""
    nearest = np.full(len(points), np.inf)
    for row in others:
        nearest = np.minimum(nearest, distances_to(points, row))
    return nearest


def typical_distance(points: Floats) -> float:
    """Return the median distance of a point to its nearest neighbour that is not equal to it; 1 if all are equal."""
    nearest = []
    for row in points:
        distances = distances_to(points, row)
        others = distances[distances > SAME]
        if len(others):
            nearest.append(others.min())
    return float(np.median(nearest)) if nearest else 1.0
