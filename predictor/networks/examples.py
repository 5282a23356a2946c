"""Labels of several sets brought to one scale, as networks learn from them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from predictor.features.nodes import Floats, Integers, PackedGraphs
from predictor.label_set import LabelSet

FOLDS = 10  # about as many architectures in each, always the same ones
TESTED, STOPPING = 0, 1  # folds: that by which predictors are compared, that by which a network stops learning


@dataclass(frozen=True, slots=True)
class Examples:
    """graphs: all there are. which: (n,) distinct numbers in it. scores: (n, sets); NaN where a set has no label."""

    graphs: PackedGraphs
    which: Integers
    scores: Floats

    @classmethod
    def of(cls, sets: Sequence[LabelSet], scores: Sequence[NDArray[np.float64]]) -> Examples:
        """All labels of `sets`. A graph's labels of one set are averaged.

        scores: a set, (n,) what is to be learnt in the place of its values.
        """
        pools = list({id(one.pool): one.pool for one in sets}.values())
        first = dict(zip(map(id, pools), np.cumsum([0, *(len(pool) for pool in pools)]).tolist(), strict=False))
        numbers = [one.graphs + first[id(one.pool)] for one in sets]
        which, places = np.unique(np.concatenate(numbers), return_inverse=True)
        total, count = np.zeros((2, len(which), len(sets)))
        columns = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
        np.add.at(total, (places, columns), np.concatenate(list(scores)))
        np.add.at(count, (places, columns), 1.0)
        means = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
        return cls(PackedGraphs.join([pool.nodes for pool in pools]), which, means.astype(np.float32))

    def __len__(self) -> int:
        return len(self.which)

    def take(self, rows: Integers) -> Examples:
        """Some of them, by number."""
        return replace(self, which=self.which[rows], scores=self.scores[rows])


def folds(architectures: NDArray[np.str_]) -> Integers:
    """(n,) the fold of each architecture: a matter of its id, so the same in every set and every version of a store."""
    return np.array([zlib.crc32(name.encode()) % FOLDS for name in architectures.tolist()], np.int64)
