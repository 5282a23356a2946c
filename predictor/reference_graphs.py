"""How far a graph is from those that a predictor was trained on, and how much wider that makes its intervals.

Distances use the statistics of graphs alone, so they mean the same for every model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats, LabelSet

MAX_GRAPHS = 300  # of one task and data set that a generation stores; a distance needs no more
MIN_GRAPHS = 10  # fewer distinct graphs do not say how far apart training graphs are
_QUANTILE = 0.95  # of the distances among training graphs that counts as distance 1
_MAX_DIFFERENCE = 3.0  # of one statistic, in standard deviations; beyond, more makes no difference
_CHUNK = 64  # networks whose distances are computed at once

TaskData = tuple[str, str]  # task and data set


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceGraphs:
    """The training graphs of one task and data set.

    statistics: (graphs, len(STATISTICS)) float32, distinct rows. unit: (len(STATISTICS),) standard deviation of each
    statistic; 1 where it is constant. scale: the root mean square difference that counts as distance 1.
    """

    statistics: NDArray[np.float32]
    unit: Floats
    scale: float

    @classmethod
    def of(cls, statistics: NDArray[np.floating]) -> ReferenceGraphs | None:
        """Return the reference of (graphs, len(STATISTICS)) statistics; None if there are too few distinct graphs."""
        rows = np.unique(np.asarray(statistics, np.float32), axis=0)
        if len(rows) < MIN_GRAPHS or rows.shape[1] != len(STATISTICS):
            return None
        deviation = rows.astype(np.float64).std(axis=0)
        unit = np.where(deviation > 0, deviation, 1.0)
        to_others = _differences(rows, rows, unit)
        np.fill_diagonal(to_others, np.inf)
        scale = float(np.quantile(to_others.min(axis=1), _QUANTILE))
        return cls(rows, unit, scale) if scale > 0 else None

    def distances(self, statistics: NDArray[np.floating]) -> Floats:
        """Return (n,) distances of networks to their nearest training graph. statistics: (n, len(STATISTICS)).

        A distance of 1 is that of a training graph at the 95th percentile of the distances of training graphs to their
        nearest other one.
        """
        query = np.asarray(statistics, np.float32)  # rounded as the reference, so that a training graph has distance 0
        nearest: Floats = _differences(query, self.statistics, self.unit).min(axis=1) / self.scale
        return nearest


@dataclass(frozen=True, slots=True)
class Widening:
    """Multiplies deviations by distance ** exponent beyond distance 1, and does not change those of nearer networks.

    tested: number of labels of left-out networks beyond distance 1 that the exponent was estimated from; 0 if there
    were too few, so that deviations grow in proportion to the distance.
    """

    exponent: float
    tested: int

    def factors(self, distances: Floats) -> Floats:
        """Return (n,) factors, at least 1. distances: (n,)."""
        factors: Floats = np.maximum(distances, 1.0) ** self.exponent
        return factors


def reference_graphs(sets: Iterable[LabelSet]) -> dict[TaskData, ReferenceGraphs]:
    """Return the training graphs of each task and data set, at most `MAX_GRAPHS` of each, chosen by a hash."""
    by_key: dict[TaskData, list[LabelSet]] = {}
    for labels in sets:
        by_key.setdefault((labels.task, labels.data), []).append(labels)
    found = {key: ReferenceGraphs.of(_chosen_statistics(of_key)) for key, of_key in by_key.items()}
    return {key: reference for key, reference in found.items() if reference is not None}


def references_to_arrays(
    references: Mapping[TaskData, ReferenceGraphs],
) -> tuple[dict[str, NDArray[np.float32]], list[dict[str, str]]]:
    """Return the tables by name, and which task and data set has which. Equal tables are stored once."""
    arrays, entries, names = dict[str, NDArray[np.float32]](), list[dict[str, str]](), dict[bytes, str]()
    for (task, data), reference in references.items():
        name = names.setdefault(reference.statistics.tobytes(), f"reference.{len(names)}")
        arrays[name] = reference.statistics
        entries.append({"task": task, "data": data, "graphs": name})
    return arrays, entries


def references_from_arrays(
    arrays: Mapping[str, NDArray[np.floating]], entries: Sequence[Mapping[str, str]]
) -> dict[TaskData, ReferenceGraphs]:
    """Inverse of `references_to_arrays`; what is missing in `arrays` is left out."""
    found = {
        (entry["task"], entry["data"]): ReferenceGraphs.of(arrays[entry["graphs"]])
        for entry in entries
        if entry["graphs"] in arrays
    }
    return {key: reference for key, reference in found.items() if reference is not None}


def _chosen_statistics(sets: Sequence[LabelSet]) -> Floats:
    """Return the statistics of some graphs: the same ones whenever the same networks are labelled."""
    graphs = {}
    for labels in sets:
        for architecture, row in zip(labels.architectures.tolist(), labels.statistics, strict=True):
            graphs[hashlib.sha256(architecture.encode()).hexdigest(), row.tobytes()] = row
    return np.array([graphs[key] for key in sorted(graphs)[:MAX_GRAPHS]]).reshape(-1, len(STATISTICS))


def _differences(rows: NDArray[np.float32], others: NDArray[np.float32], unit: Floats) -> Floats:
    """Return (n, m) root mean squares over all statistics of the clipped differences of (n, k) and (m, k) rows."""
    parts = [np.zeros((0, len(others)))]
    for start in range(0, len(rows), _CHUNK):
        difference = (rows[start : start + _CHUNK, None].astype(np.float64) - others[None]) / unit
        parts.append(np.sqrt((np.clip(difference, -_MAX_DIFFERENCE, _MAX_DIFFERENCE) ** 2).mean(axis=2)))
    return np.concatenate(parts)
