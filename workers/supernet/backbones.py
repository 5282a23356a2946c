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
from workers.spaces.skeletons import Skeletons
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
        precision: str = "float32",
    ) -> None:
        """settings: the recipe's `body`. indices: the images for calibration, `batch` at a time.

        layout: memory format of the backbones, also during calibration. precision: the data type of autocast in the
        calibration of frozen backbones.
        """
        self._shared, self._layout, self._precision = shared.to(memory_format=layout), layout, precision
        self._skeletons, self._normalise = Skeletons(shared.space, settings), normalise or Normalisation()
        batches = [list(indices[start : start + batch]) for start in range(0, len(indices), batch)]
        self._images = [images.batch(part).images for part in batches]

    def initialise(self, architecture: Architecture, backbone: nn.Module) -> None:
        """Copy the shared weights of `architecture` into `backbone`, then calibrate its batch norms."""
        self._shared.copy_into(architecture, Network(backbone.to(memory_format=self._layout), nn.Identity()))
        self._calibrate(backbone, next(backbone.parameters()).device)

    @torch.no_grad()
    def __call__(self, architecture: Architecture) -> Backbone:
        """Return a frozen backbone of `architecture` in evaluation mode. Its weights are views of the shared weights.

        May be called in any thread. No random numbers are drawn.
        """
        backbone = self._shared.view(architecture, Network(self._skeletons.build(architecture), nn.Identity())).body
        assert isinstance(backbone, Backbone)
        device = next(backbone.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            self._calibrate(backbone, device)
        return backbone.eval()

    def _calibrate(self, backbone: nn.Module, device: torch.device) -> None:
        layout = torch.preserve_format if device.type == "cpu" else self._layout
        calibrate(backbone, (self._normalise(images.to(device)).to(memory_format=layout) for images in self._images))
