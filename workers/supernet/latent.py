"""Features that a shared head is trained on: latent sampling (Mills et al., AIO-P, AAAI 2023), or backbone swapping."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone
from workers.supernet.strata import DepthStrata

BackboneFactory = Callable[[Architecture], Backbone]  # returns a frozen backbone with the space's shared weights
GetBackbone = Callable[[], Backbone]


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
    """An architecture in the pool, or about to join it. backbone: returns its backbone; None before it is needed."""

    architecture: Architecture
    backbone: GetBackbone | None = None


class LatentSampling:
    """A pool of `per_stratum` backbones per stratum. Features are sampled from the distribution over the pool.

    z = mean + noise * standard deviation, element by element over the pool, with noise from the standard normal
    distribution. After each batch the oldest backbone is replaced by a new one of the same stratum. Where backbones
    differ in width, the mean and deviation of a channel are over the backbones that have it.

    The order of the architectures depends on the strata alone.
    """

    def __init__(
        self, strata: DepthStrata, build_backbone: BackboneFactory, per_stratum: int, *, background: bool = False
    ) -> None:
        """background: build the next backbone in a thread, one batch before it joins the pool. The features are equal.

        It pays off where this thread waits for a GPU. On a CPU both would compute on the same cores.
        """
        order = [stratum for _ in range(per_stratum) for stratum in strata.non_empty]
        self._architectures = map(strata.sample, itertools.cycle(order))
        self._size, self._ahead = len(order), int(background)
        self._build_backbone = build_backbone
        self._thread = ThreadPoolExecutor(1, "backbones") if background else None  # ends with this object
        self._members = deque(_Member(next(self._architectures)) for _ in range(self._size + self._ahead))

    @torch.no_grad()
    def pyramid(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """See `FeatureSource.pyramid`."""
        for member in self._members:
            if member.backbone is None:
                member.backbone = self._start_building(member.architecture)
        moments: list[_Moments] = []
        for member in itertools.islice(self._members, self._size):
            assert member.backbone is not None
            levels = member.backbone()(images)
            moments = moments or [_Moments() for _ in levels]
            for of_level, level in zip(moments, levels, strict=True):
                of_level.add(level.float())
        self.skip(1)
        return [of_level.sample(generator) for of_level in moments]

    def skip(self, batches: int) -> None:
        """See `FeatureSource.skip`. Builds nothing."""
        for _ in range(batches):
            self._members.popleft()
            self._members.append(_Member(next(self._architectures)))

    def _start_building(self, architecture: Architecture) -> GetBackbone:
        if self._thread is None:
            return functools.cache(functools.partial(self._build_backbone, architecture))  # when it is used first
        return self._thread.submit(self._build_backbone, architecture).result


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


class _Moments:
    """Sums over (N, C_i, H, W) maps, element by element, without keeping the maps."""

    def __init__(self) -> None:
        self._total = self._squares = self._count = torch.zeros(0)

    def add(self, level: Tensor) -> None:
        """Add a map. The sums are as wide as the widest."""
        width = level.shape[1]
        if width > len(self._count):
            total, squares, count = self._total, self._squares, self._count
            self._total, self._squares = torch.zeros_like(level), torch.zeros_like(level)
            self._count = torch.zeros(width, device=level.device)
            if narrower := len(count):
                self._total[:, :narrower], self._squares[:, :narrower] = total, squares
                self._count[:narrower] = count
        self._total[:, :width] += level
        self._squares[:, :width] += level.square()
        self._count[:width] += 1

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw one sample, from noise on the device of `generator`."""
        count = self._count[:, None, None]
        mean = self._total / count
        deviation = (self._squares / count - mean.square()).clamp(min=0).sqrt()
        noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean.device)
        return mean + noise * deviation
