"""Features that a shared head is trained on: latent sampling (Mills et al., AIO-P, AAAI 2023), or backbone swapping."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone
from workers.supernet.strata import DepthStrata

BackboneFactory = Callable[[Architecture], Backbone]  # returns a frozen backbone with the space's shared weights


class FeatureSource(Protocol):
    """Gives one feature pyramid per batch to a head in training."""

    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return one feature map per level for (N, 3, H, W) normalised images, without gradients.

        The source may change its backbones afterwards.
        """
        ...

    def skip(self, batches: int) -> None:
        """Change the backbones as that many batches would."""
        ...


@dataclass(slots=True)
class _Member:
    """A backbone of the pool; it is built when it is needed first."""

    stratum: int
    architecture: Architecture
    backbone: Backbone | None = None


class LatentSampling:
    """A pool of `per_stratum` backbones per stratum. Features are sampled from the distribution over the pool.

    z = mean + noise * standard deviation, element by element over the pool, with noise from the standard normal
    distribution. After each batch the oldest backbone is replaced by a new one of the same stratum. Where backbones
    differ in width, the mean and deviation of a channel are over the backbones that have it.
    """

    def __init__(self, strata: DepthStrata, build_backbone: BackboneFactory, per_stratum: int) -> None:
        self._strata, self._build_backbone = strata, build_backbone
        order = [stratum for _ in range(per_stratum) for stratum in strata.non_empty]
        self._pool = deque(_Member(stratum, strata.sample(stratum)) for stratum in order)

    @torch.no_grad()
    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """See `FeatureSource.pyramid`."""
        pyramids = [self._backbone(member)(images) for member in self._pool]
        levels = [
            _sample_features([pyramid[i].float() for pyramid in pyramids], generator) for i in range(len(pyramids[0]))
        ]
        self.skip(1)
        return levels

    def skip(self, batches: int) -> None:
        """See `FeatureSource.skip`."""
        for _ in range(batches):
            stratum = self._pool.popleft().stratum
            self._pool.append(_Member(stratum, self._strata.sample(stratum)))

    def _backbone(self, member: _Member) -> Backbone:
        if member.backbone is None:
            member.backbone = self._build_backbone(member.architecture)
        return member.backbone


class BackboneSwapping:
    """One backbone at a time, for `batches` batches each. Strata take turns."""

    def __init__(self, strata: DepthStrata, build_backbone: BackboneFactory, batches: int = 10) -> None:
        self._strata, self._build_backbone, self._batches = strata, build_backbone, batches
        self._batches_seen = 0
        self._architecture: Architecture | None = None
        self._backbone: Backbone | None = None

    @torch.no_grad()
    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """See `FeatureSource.pyramid`."""
        self.skip(1)
        if self._backbone is None:
            assert self._architecture is not None
            self._backbone = self._build_backbone(self._architecture)
        return [level.float() for level in self._backbone(images)]

    def skip(self, batches: int) -> None:
        """See `FeatureSource.skip`."""
        for _ in range(batches):
            if self._batches_seen % self._batches == 0:
                turn = (self._batches_seen // self._batches) % len(self._strata.non_empty)
                self._architecture, self._backbone = self._strata.sample(self._strata.non_empty[turn]), None
            self._batches_seen += 1


def _sample_features(maps: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Draw one sample from (N, C_i, H, W) maps; it is as wide as the widest."""
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
