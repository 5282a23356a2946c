"""The flip test: predict the images and the same images flipped left to right, then average the two outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.errors import RecipeError


def append_flipped(images: Tensor) -> Tensor:
    """Return (2 N, 3, H, W): the images, then the same images flipped."""
    return torch.cat([images, images.flip(-1)])


def split_flipped(outputs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Split the outputs of `append_flipped` into those of `count` images and of the flipped ones, flipped back.

    Raises RecipeError if the outputs of the flipped images are missing.
    """
    if len(outputs) != 2 * count:
        raise RecipeError("flip_test needs the pyramid of the flipped images too: evaluate with it, or unset it")
    return outputs[:count], outputs[count:].flip(-1)
