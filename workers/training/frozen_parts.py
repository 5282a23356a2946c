"""Parts of a backbone that are not trained: its first stages, and the statistics of its batch norms."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from workers.errors import RecipeError
from workers.messages.recipe import Recipe
from workers.spaces import Backbone

_SIDE = 64  # pixels; any size with a feature map at stride 32


def freeze_stages(backbone: nn.Module, count: int) -> None:
    """Stop the training of all weights that the first `count` levels of the pyramid depend on.

    For a residual network, 1 freezes its stem and its first stage, as `frozen_stages` does in mmdet.

    Raises RecipeError if the pyramid has fewer levels.
    """
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    if not count or not trained:
        return
    assert isinstance(backbone, Backbone)
    if count > len(backbone.channels):
        raise RecipeError(f"frozen_stages {count}: the backbone has {len(backbone.channels)} levels: lower it")
    was_training = backbone.training
    backbone.eval()
    level = backbone(trained[0].new_zeros((1, 3, _SIDE, _SIDE)))[count - 1]
    grads = torch.autograd.grad(level.sum(), trained, allow_unused=True)
    backbone.train(was_training)
    for parameter, grad in zip(trained, grads, strict=True):
        if grad is not None:
            parameter.requires_grad_(False)


def set_training_mode(network: nn.Module, backbone: nn.Module, recipe: Recipe) -> None:
    """Switch `network` to training. Batch norms of frozen parts of the backbone keep their statistics."""
    network.train()
    parameters = list(backbone.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        backbone.eval()
        return
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            own = list(module.parameters(recurse=False))
            frozen = bool(own) and not any(parameter.requires_grad for parameter in own)
            if frozen or recipe.backbone_norm == "frozen":
                module.eval()
