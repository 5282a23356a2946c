"""Train a network by a recipe, and the same network by mmengine's Runner, step by step with equal seeds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from workers.loading.batches import ImageSplit
from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe
from workers.tasks import get_task
from workers.training.full import Network, build_network, initialise, train_network


def double_network(model: str, recipe: Recipe, data: ImageSplit) -> Network:
    """Build a network of the space `zoo` in float64, with the recipe's normalisation of pixels."""
    network = build_network(
        Architecture.of("zoo", {"model": model}), recipe, data.task, data.reader.data.vocabulary(recipe.task)
    )
    initialise(network, 0)
    normalise = network.normalise
    mean, std = (torch.tensor(values).double()[:, None, None] for values in (normalise.mean, normalise.std))
    network.normalise = lambda images: (images - mean) / std
    return network.double()


def recipe_losses(
    network: Network,
    data: ImageSplit,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    factor: float = 1.0,
    *,
    double_losses: bool = True,
) -> list[float]:
    """Train as labels do and return the loss of each step. Each starts from a seed, for random parts of the loss.

    factor: of the losses, in which another toolbox may differ. double_losses: compute in float64 what asks for float32.
    """
    task, loss_of, losses = get_task(recipe.task), get_task(recipe.task).loss, list[float]()

    def loss(head: nn.Module, pyramid: list[Tensor], target: Any) -> Tensor:
        torch.manual_seed(len(losses))
        value = factor * loss_of(head, pyramid, target)
        losses.append(float(value.detach()))
        return value

    single = Tensor.float
    monkeypatch.setattr(task, "loss", loss)
    if double_losses:  # rounding errors of float32 would grow from step to step
        monkeypatch.setattr(Tensor, "float", lambda x: x if x.dtype == torch.float64 else single(x))
    train_network(network, data, recipe, seed=0, split=1)
    return losses


class StepHook(Hook):  # type: ignore[misc]
    """Sets the seed of each step and records its loss."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        torch.manual_seed(batch_idx)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses.append(float(outputs["loss"]))


def runner_losses(
    model: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    batches: Iterable[dict[str, Any]],
    config: Mapping[str, Any],
    scope: str,
    out: Path,
) -> list[float]:
    """Train a model in float64 by mmengine's Runner and return the loss of each step.

    model: its configuration. weights: of all its layers. batches: as the toolbox's pipelines pack them, one per step.
    config: the toolbox's, of which `optim_wrapper` and `param_scheduler` are used. scope: the toolbox.
    """
    hook = StepHook()
    runner = Runner(
        ConfigDict(model),
        str(out),
        train_dataloader=DataLoader(list(batches), batch_size=1, collate_fn=lambda batches: batches[0]),
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": 1},
        optim_wrapper=config["optim_wrapper"],
        param_scheduler=config["param_scheduler"],
        custom_hooks=[hook],
        default_hooks={"checkpoint": None, "logger": None},
        experiment_name=f"t{time.monotonic_ns()}",
        default_scope=scope,
    )
    own = {name: value.clone() for name, value in weights.items()}
    runner.model.init_weights = lambda: None
    runner.model.double()
    wrong = runner.model.load_state_dict(own, strict=False)
    assert not wrong.unexpected_keys
    assert not wrong.missing_keys
    runner.train()
    return hook.losses
