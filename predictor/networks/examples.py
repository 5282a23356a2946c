"""Labels of several sets brought to one scale, as networks learn from them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from predictor.features import Collated, Floats, Integers
from predictor.label_set import LabelSet

Scaling = Callable[[LabelSet], NDArray[np.float64]]  # labels to standard scores, (n,)
_HELD_OUT = 10  # of so many architectures one is not learnt from, always the same ones


@dataclass(frozen=True, slots=True)
class Examples:
    """graphs: all there are. which: (n,) numbers in it. scores: (n,) to be learnt. sets: (n,) the set each is of."""

    graphs: Collated
    which: Integers
    scores: Floats
    sets: Integers

    @classmethod
    def of(cls, sets: Sequence[LabelSet], scaling: Scaling) -> Examples:
        """All labels of `sets`, at least one."""
        pools = list({id(one.pool): one.pool for one in sets}.values())
        first = dict(zip(map(id, pools), np.cumsum([0, *(len(pool) for pool in pools)]).tolist(), strict=False))
        graphs = pools[0].nodes if len(pools) == 1 else Collated.join([pool.nodes for pool in pools])
        return cls(
            graphs=graphs,
            which=np.concatenate([one.graphs + first[id(one.pool)] for one in sets]),
            scores=np.concatenate([scaling(one) for one in sets]).astype(np.float32),
            sets=np.repeat(np.arange(len(sets)), [len(one) for one in sets]),
        )

    def __len__(self) -> int:
        return len(self.which)

    def take(self, rows: NDArray[np.bool_] | Integers) -> Examples:
        """Some of them, by number or by mask."""
        return replace(self, which=self.which[rows], scores=self.scores[rows], sets=self.sets[rows])


def is_held_out(architectures: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(n,) whether an architecture is one that is only tested on: a matter of its id, so the same in every set."""
    return np.array([zlib.crc32(name.encode()) % _HELD_OUT == 0 for name in architectures.tolist()], bool)
