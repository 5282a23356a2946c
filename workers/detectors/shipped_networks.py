"""Build networks of OpenMMLab's toolboxes, without weights, from the configurations that are part of their packages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import torch
from torch import nn

from predictor.errors import one_line
from workers.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Toolbox:
    """A toolbox whose configurations describe whole networks.

    name: of its package, and its scope in mmengine's registries. load: imports the package and returns its registry of
    models. configs: returns the folder of the shipped configurations.
    """

    name: str
    load: Callable[[], Any]
    configs: Callable[[], Path]


def build_shipped_network(toolbox: Toolbox, config: str, device: str = "meta") -> nn.Module:
    """Build the network of a shipped configuration, on the meta device if its constructor allows it.

    config: path below the toolbox's folder of configurations, with or without a leading configs/. device: another one
    for a network that is run.

    Raises RecipeError for a configuration that does not exist or that needs a package that is not installed.
    """
    models = toolbox.load()
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    path = toolbox.configs() / unquote(config).removeprefix("configs/")
    if not path.is_file():
        raise RecipeError(f"{toolbox.name} configuration '{config}': no such file below {toolbox.configs()}")
    try:
        settings = Config.fromfile(str(path)).model
        _remove_initialisation(settings)
        with DefaultScope.overwrite_default_scope(toolbox.name):
            return _build(models, settings, device)
    except Exception as error:  # configurations are code
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise RecipeError(f"{toolbox.name} configuration '{config}': {reason}: choose another") from error


def _build(models: Any, settings: Any, device: str) -> nn.Module:
    network: nn.Module
    try:
        with torch.device(device):
            network = models.build(copy.deepcopy(settings))
    except RuntimeError as error:
        if "meta tensors" not in str(error):
            raise
        network = models.build(settings)  # its constructor reads values of tensors
    return network


def _remove_initialisation(settings: Any) -> None:
    """Remove settings that would load or draw weights."""
    if isinstance(settings, Mapping):
        for key in ("init_cfg", "pretrained", "checkpoint"):
            settings.pop(key, None)  # type: ignore[attr-defined]
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            _remove_initialisation(value)
