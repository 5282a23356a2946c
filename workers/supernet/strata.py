"""Architectures of a space by depth: the strata that a pool of bodies is drawn from."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from workers.messages.architecture import Architecture
from workers.spaces.base import Space

_PROBES = 64  # draws that the limits between strata are estimated from


class DepthStrata:
    """`count` strata of equal probability, as far as depths allow; depth is the number of a body's convolutions.

    Draws depend on the seed alone.
    """

    def __init__(self, space: Space, count: int, seed: int, body: Mapping[str, Any] | None = None) -> None:
        self._space, self._body = space, body
        self._rng = random.Random(f"strata/{space.name}/{seed}")
        depths = [self.depth(a) for a in itertools.islice(space.sequence(seed), _PROBES)]
        self._limits = np.quantile(depths, np.linspace(0, 1, count + 1)[1:-1], method="lower")
        self.filled = sorted({self.of(depth) for depth in depths})  # depths that repeat may leave strata empty

    def depth(self, architecture: Architecture) -> int:
        """Number of convolutions in the body."""
        with torch.device("meta"):
            body = self._space.build(architecture, self._body)
        return sum(isinstance(module, nn.Conv2d) for module in body.modules())

    def of(self, depth: int) -> int:
        """The stratum of a depth, from 0."""
        return int(np.searchsorted(self._limits, depth, side="left"))

    def draw(self, stratum: int) -> Architecture:
        """An architecture of that stratum, drawn uniformly. The stratum must be among `filled`."""
        while True:
            architecture = self._space.sample(self._rng)
            if self.of(self.depth(architecture)) == stratum:
                return architecture
