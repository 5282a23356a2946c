"""Bodies that take their weights from those shared by a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.base import Backbone
from workers.supernet.calibration import calibrate
from workers.supernet.weights import SharedWeights
from workers.training.full import Network, normalised
from workers.training.loading import CachedSplit


def bare_network(architecture: Architecture, settings: Mapping[str, Any]) -> Network:
    """A network without a head: shared weights are named as in networks."""
    return Network(get_space(architecture.space).build(architecture, settings), nn.Identity())


class SharedBackbones:
    """Makes bodies with shared weights, batch norms measured on images of the task at hand."""

    def __init__(
        self,
        shared: SharedWeights,
        settings: Mapping[str, Any],
        images: CachedSplit,
        indices: Sequence[int],
        batch: int,
        layout: torch.memory_format,
    ) -> None:
        """settings: the recipe's `body`. indices: the images that batch norms are measured on, `batch` at a time.

        layout: of the bodies in memory, measuring included.
        """
        self._shared, self._settings, self._layout = shared, settings, layout
        batches = [list(indices[start : start + batch]) for start in range(0, len(indices), batch)]
        self._images = [images.batch(part)[0] for part in batches]

    def start(self, architecture: Architecture, body: nn.Module) -> None:
        """Give `body`, built for `architecture`, its slices of the shared weights and batch norms of its own."""
        self._shared.copy_into(architecture, Network(body.to(memory_format=self._layout), nn.Identity()))
        device = next(body.parameters()).device
        calibrate(body, (normalised(images.to(device)) for images in self._images))

    def __call__(self, architecture: Architecture) -> Backbone:
        """A frozen body in evaluation mode."""
        body = bare_network(architecture, self._settings).body
        assert isinstance(body, Backbone)
        body = body.to(next(self._shared.parameters()).device)
        self.start(architecture, body)
        return body.eval().requires_grad_(False)
