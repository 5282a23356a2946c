"""What a shared head learns from: latent sampling (Mills et al., AIO-P, AAAI 2023), or one body after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone
from workers.supernet.strata import DepthStrata

MakeBackbone = Callable[[Architecture], Backbone]  # a frozen body with the space's shared weights


class FeatureSource(Protocol):
    """Gives a head in training one feature pyramid a batch."""

    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """(N, 3, H, W) normalised images to one map a level, without gradients; then it may change its bodies."""
        ...


class LatentSampling:
    """A pool of `per_stratum` bodies a stratum. A feature is drawn from what they all make of the image.

    z = mean + noise * deviation, element by element over the pool, noise from the standard normal distribution. After
    every batch the oldest body makes room for a new one of its stratum. Where bodies differ in width, a channel's
    mean and deviation are those of the bodies that have it.
    """

    def __init__(self, strata: DepthStrata, make: MakeBackbone, per_stratum: int) -> None:
        self._strata, self._make = strata, make
        order = [stratum for _ in range(per_stratum) for stratum in strata.filled]
        self._pool = deque((stratum, make(strata.draw(stratum))) for stratum in order)

    @torch.no_grad()
    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """See `FeatureSource`."""
        made = [body(images) for _, body in self._pool]
        levels = [_sampled([pyramid[i].float() for pyramid in made], generator) for i in range(len(made[0]))]
        stratum, _ = self._pool.popleft()
        self._pool.append((stratum, self._make(self._strata.draw(stratum))))
        return levels


class BackboneSwapping:
    """One body at a time, for `batches` batches; strata take turns."""

    def __init__(self, strata: DepthStrata, make: MakeBackbone, batches: int = 10) -> None:
        self._strata, self._make, self._batches = strata, make, batches
        self._seen = 0
        self._body: Backbone | None = None

    @torch.no_grad()
    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """See `FeatureSource`."""
        if self._body is None or self._seen % self._batches == 0:
            turn = (self._seen // self._batches) % len(self._strata.filled)
            self._body = self._make(self._strata.draw(self._strata.filled[turn]))
        self._seen += 1
        return [level.float() for level in self._body(images)]


def _sampled(maps: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """One draw from (N, C_i, H, W) maps, as wide as the widest."""
    widest = max(maps, key=lambda level: level.shape[1])
    total, squares = torch.zeros_like(widest), torch.zeros_like(widest)
    count = torch.zeros(widest.shape[1], device=widest.device)
    for level in maps:
        width = level.shape[1]
        total[:, :width] += level
        squares[:, :width] += level.square()
        count[:width] += 1
    mean = total / count[:, None, None]
    deviation = (squares / count[:, None, None] - mean.square()).clamp(min=0).sqrt()
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    return mean + noise * deviation
