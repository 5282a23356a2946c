"""Strata of a space by depth, from which a pool of backbones is sampled."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from workers.messages.architecture import Architecture
from workers.spaces.base import Space
from workers.spaces.skeletons import Skeletons

_QUANTILE_SAMPLES = 64  # architectures from which the limits between strata are estimated


class DepthStrata:
    """`count` strata of about equal probability; the depth of a backbone is its number of convolutions.

    Samples depend on the seed alone.
    """

    def __init__(self, space: Space, count: int, seed: int, body: Mapping[str, Any] | None = None) -> None:
        """body: the recipe's `body`, the settings of the backbones."""
        self._space, self._skeletons = space, Skeletons(space, body)
        self._rng = random.Random(f"strata/{space.name}/{seed}")
        depths = [self.depth(a) for a in itertools.islice(space.sequence(seed), _QUANTILE_SAMPLES)]
        self._limits = np.quantile(depths, np.linspace(0, 1, count + 1)[1:-1], method="lower")
        self.non_empty = sorted({self.stratum_of(depth) for depth in depths})  # equal depths can leave strata empty

    def depth(self, architecture: Architecture) -> int:
        """Return the number of convolutions in the backbone."""
        return self._skeletons.depth(architecture)

    def stratum_of(self, depth: int) -> int:
        """Return the stratum of a depth, from 0."""
        return int(np.searchsorted(self._limits, depth, side="left"))

    def sample(self, stratum: int) -> Architecture:
        """Return a uniformly sampled architecture of `stratum`, which must be in `non_empty`."""
        while True:
            architecture = self._space.sample(self._rng)
            if self.stratum_of(self.depth(architecture)) == stratum:
                return architecture
