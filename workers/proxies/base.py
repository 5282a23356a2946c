"""The input of proxies, and their registry. A proxy family computes one or more scores from the same passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from predictor.entry_points import require_free_name
from workers.tasks.base import Task
from workers.training.full import Network


@dataclass(frozen=True, slots=True)
class Probe:
    """An initialised network in training mode, and one batch.

    images: (N, 3, H, W) uint8. parts: the same images with their targets, in smaller batches, for scores that measure
    how gradients vary.
    """

    network: Network
    task: Task
    images: Tensor
    parts: tuple[tuple[Tensor, Any], ...]

    def loss(self, images: Tensor, target: Any) -> Tensor:
        """Return the task's training loss, a scalar."""
        return self.task.loss(self.network.head, self.network.pyramid(images), target)

    def layers(self) -> list[nn.Conv2d | nn.Linear]:
        """Return the convolutions and linear layers of the backbone."""
        return [m for m in self.network.body.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


ProxyFamily = Callable[[Probe], dict[str, float]]
_FAMILIES: dict[str, ProxyFamily] = {}


def register(name: str) -> Callable[[ProxyFamily], ProxyFamily]:
    """Decorator: register a function whose scores become part of every proxy label. Raises NameTakenError."""

    def add(family: ProxyFamily) -> ProxyFamily:
        require_free_name("proxy family", name, family, _FAMILIES)
        _FAMILIES[name] = family
        return family

    return add


def proxy_families() -> Mapping[str, ProxyFamily]:
    """Return all registered families by name."""
    return dict(_FAMILIES)


def compute_scores(probe: Probe) -> dict[str, float]:
    """Return all scores. Families may change only the gradients and batch norm statistics of the network."""
    return {name: value for family in _FAMILIES.values() for name, value in family(probe).items()}
