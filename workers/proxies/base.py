"""What a proxy is given, and the registry. A family computes its scores together, from the same passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workers.tasks.base import Task
from workers.training.full import Network


@dataclass(frozen=True, slots=True)
class Probe:
    """An initialised network in training mode, and one batch: (N, 3, H, W) uint8 images with their targets.

    parts: the same batch in smaller ones, for scores about how gradients vary.
    """

    network: Network
    task: Task
    images: Tensor
    parts: tuple[tuple[Tensor, Any], ...]

    def loss(self, images: Tensor, target: Any) -> Tensor:
        """The task's training loss, a scalar."""
        return self.task.loss(self.network.head, self.network.pyramid(images), target)

    def layers(self) -> list[nn.Conv2d | nn.Linear]:
        """Convolutions and linear layers of the body."""
        return [m for m in self.network.body.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


Family = Callable[[Probe], dict[str, float]]
_FAMILIES: dict[str, Family] = {}


def register(name: str) -> Callable[[Family], Family]:
    """Decorator: the function's scores belong to every proxy label."""

    def remember(family: Family) -> Family:
        _FAMILIES[name] = family
        return family

    return remember


def proxy_families() -> Mapping[str, Family]:
    """All registered families by name."""
    return dict(_FAMILIES)


def score(probe: Probe) -> dict[str, float]:
    """All scores. Families leave the network as they found it, but for gradients and batch norm statistics."""
    return {name: value for family in _FAMILIES.values() for name, value in family(probe).items()}
