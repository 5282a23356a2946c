"""Backbones that take their weights from the shared weights of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from workers.loading.batches import ImageSplit
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.base import Backbone
from workers.spaces.shared_weights import SharedWeights
from workers.training.calibration import calibrate
from workers.training.full import Network
from workers.training.normalisation import Normalisation


def build_without_head(architecture: Architecture, settings: Mapping[str, Any]) -> Network:
    """Build a network whose head is the identity, so that its weights have the names of shared weights.

    settings: the recipe's `body`.
    """
    return Network(get_space(architecture.space).build(architecture, settings), nn.Identity())


class SharedBackbones:
    """Builds backbones with shared weights and with batch norms calibrated on images of the task."""

    def __init__(
        self,
        shared: SharedWeights,
        settings: Mapping[str, Any],
        images: ImageSplit,
        indices: Sequence[int],
        batch: int,
        layout: torch.memory_format,
        normalise: Normalisation | None = None,
    ) -> None:
        """settings: the recipe's `body`. indices: the images for calibration, `batch` at a time.

        layout: memory format of the backbones, also during calibration.
        """
        self._shared, self._settings, self._layout = shared, settings, layout
        self._normalise = normalise or Normalisation()
        batches = [list(indices[start : start + batch]) for start in range(0, len(indices), batch)]
        self._images = [images.batch(part).images for part in batches]

    def initialise(self, architecture: Architecture, backbone: nn.Module) -> None:
        """Copy the shared weights of `architecture` into `backbone`, then calibrate its batch norms."""
        self._shared.copy_into(architecture, Network(backbone.to(memory_format=self._layout), nn.Identity()))
        device = next(backbone.parameters()).device
        calibrate(backbone, (self._normalise(images.to(device)) for images in self._images))

    def __call__(self, architecture: Architecture) -> Backbone:
        """Return a frozen backbone of `architecture` in evaluation mode."""
        with torch.random.fork_rng(devices=[]):  # its random weights are replaced: a resumed training draws the same
            backbone = build_without_head(architecture, self._settings).body
        assert isinstance(backbone, Backbone)
        backbone = backbone.to(next(self._shared.parameters()).device)
        self.initialise(architecture, backbone)
        return backbone.eval().requires_grad_(False)
