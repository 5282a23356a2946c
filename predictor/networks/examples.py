"""Training examples for networks: graphs and the labels of several sets, on one scale."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from predictor.features.nodes import Floats, Integers, PackedGraphs
from predictor.label_set import LabelSet

FOLD_COUNT = 10
TEST_FOLD, STOP_FOLD = 0, 1  # the hold-out that compares predictors, and the one for early stopping


@dataclass(frozen=True, slots=True)
class Examples:
    """graphs: a pool. indices: (n,) distinct graphs in it. scores: (n, sets); NaN where a set has no label."""

    graphs: PackedGraphs
    indices: Integers
    scores: Floats

    @classmethod
    def of(cls, sets: Sequence[LabelSet], scores: Sequence[NDArray[np.float64]]) -> Examples:
        """Return all labels of `sets`, averaged if a set has several for a graph.

        scores: for each set, (n,) targets that replace its values.
        """
        pools = list({id(one.pool): one.pool for one in sets}.values())
        first = dict(zip(map(id, pools), np.cumsum([0, *(len(pool) for pool in pools)]).tolist(), strict=False))
        numbers = [one.graphs + first[id(one.pool)] for one in sets]
        indices, rows = np.unique(np.concatenate(numbers), return_inverse=True)
        total, count = np.zeros((2, len(indices), len(sets)))
        columns = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
        np.add.at(total, (rows, columns), np.concatenate(list(scores)))
        np.add.at(count, (rows, columns), 1.0)
        means = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
        return cls(PackedGraphs.join([pool.nodes for pool in pools]), indices, means.astype(np.float32))

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, rows: Integers) -> Examples:
        """Return the examples with these row numbers."""
        return replace(self, indices=self.indices[rows], scores=self.scores[rows])


def folds(architectures: NDArray[np.str_]) -> Integers:
    """Return (n,) the fold of each architecture: a hash of its id, so it is fixed for all sets and store versions."""
    return np.array([zlib.crc32(name.encode()) % FOLD_COUNT for name in architectures.tolist()], np.int64)
