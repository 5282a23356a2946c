"""Checkpoints inside a label: what training depends on, when it is saved, and how it continues from there."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor, nn

from predictor.errors import one_line
from workers import pulse, tally
from workers.storage.checkpoints import Checkpoint, Checkpoints
from workers.training.optimization import Optimization

log = logging.getLogger(__name__)

Runs = list[dict[str, dict[str, float]]]  # metrics by task of each training that is complete


class _Facts(BaseModel):
    step: int = Field(ge=0)
    split: int
    runs: Runs
    seconds: dict[str, float]


def _read_facts(name: str, facts: Mapping[str, Any]) -> _Facts | None:
    """Return the facts of a checkpoint; None, which is logged, if they are others than `Resumption` writes."""
    try:
        return _Facts.model_validate(facts)
    except ValidationError as error:
        log.warning("checkpoint %s: not readable (%s): starting from the first step", name, one_line(error))
        return None


class Resumption:
    """The checkpoint of one label.

    A label may consist of several trainings. `runs` are the metrics of those that are complete, `seconds` what earlier
    attempts spent on the work that is not lost.
    """

    def __init__(self, checkpoints: Checkpoints | None, name: str, every_s: float, split: int = 1) -> None:
        """checkpoints: None keeps none. every_s: seconds between two checkpoints. split: parts of each batch."""
        self._checkpoints, self._name, self._every_s = checkpoints, name, every_s
        found = checkpoints.load(name) if checkpoints is not None else None
        facts = None if found is None else _read_facts(name, found.facts)
        if facts is None or facts.split != split:  # the batch norms of other parts, so other numbers
            found = facts = None
        self._found, self._split = found, split
        self.runs: Runs = [] if facts is None else facts.runs
        self.seconds: dict[str, float] = {} if facts is None else facts.seconds
        self._since = self._saved = time.monotonic()

    def start(self, module: nn.Module, optimization: Optimization[Any], steps: int) -> int:
        """Restore the training that the checkpoint is of. Returns the first step that is left to do.

        steps: of this training.
        """
        found, self._found = self._found, None
        self._offset = len(self.runs) * steps
        if found is not None and (missing := _missing_tensor(found.tensors, module, optimization)):
            log.warning("checkpoint %s: %s does not fit the network: starting from the first step", self._name, missing)
            found = None
        if found is None:
            pulse.beat(step=self._offset)
            return 0
        restore_training(found.tensors, module, optimization)
        step = int(found.facts["step"])
        pulse.beat(step=self._offset + step, saved=self._offset + step)
        return step

    def after_step(self, step: int, steps: int, module: nn.Module, optimization: Optimization[Any]) -> None:
        """Give a sign of life after step `step` of `steps`, counted from 1, and save a checkpoint when one is due.

        One is always due after the last step, so that an evaluation that fails does not repeat the training.
        """
        pulse.beat(step=self._offset + step)
        due = time.monotonic() - self._saved >= self._every_s
        if self._checkpoints is None or not (due or (step == steps and self._is_long())):
            return
        facts: dict[str, Any] = {
            "step": step,
            "split": self._split,
            "runs": self.runs,
            "seconds": self.seconds | {"train": self._train_seconds()},
        }
        if self._checkpoints.save(self._name, Checkpoint(training_state(module, optimization), facts)):
            pulse.beat(saved=self._offset + step)
            tally.add_checkpoint()
        self._saved = time.monotonic()

    def _is_long(self) -> bool:
        """Return whether the label has taken long enough that a checkpoint costs little in comparison."""
        return time.monotonic() - self._since + sum(self.seconds.values()) >= self._every_s

    def _train_seconds(self) -> float:
        """Return the seconds of training so far, with all that this attempt spent besides."""
        return self.seconds.get("train", 0.0) + time.monotonic() - self._since


def training_state(module: nn.Module, optimization: Optimization[Any]) -> dict[str, Tensor]:
    """Return all tensors that further training depends on: weights, statistics, averages, optimizer, random numbers."""
    tensors = {f"weights.{name}": value for name, value in module.state_dict().items()}
    if optimization.averaged is not module:
        tensors |= {f"averaged.{name}": value for name, value in optimization.averaged.state_dict().items()}
    for number, parameter in enumerate(optimization.parameters):
        for field, value in optimization.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{field}.{number}"] = value
    return tensors | _random_state()


def _missing_tensor(tensors: Mapping[str, Tensor], module: nn.Module, optimization: Optimization[Any]) -> str | None:
    """Return the name of a tensor that is missing or has another shape than this training's; None if all fit."""
    expected = training_state(module, optimization)
    expected.pop("random.cuda", None)  # a checkpoint may come from a machine without a GPU
    for name, value in expected.items():
        if name not in tensors or tensors[name].shape != value.shape:
            return name
    weights = [name for name in tensors if name.startswith(("weights.", "averaged."))]
    shapes = [parameter.shape for parameter in optimization.parameters]
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            number = name.rpartition(".")[2]
            if not number.isdigit() or int(number) >= len(shapes):
                return name
            if value.numel() > 1 and value.shape != shapes[int(number)]:
                return name
    return next((name for name in weights if name not in expected), None)


@torch.no_grad()
def restore_training(tensors: Mapping[str, Tensor], module: nn.Module, optimization: Optimization[Any]) -> None:
    """Restore what `training_state` returned, for the same module, recipe and seed. Raises KeyError."""
    for name, value in module.state_dict().items():
        value.copy_(tensors[f"weights.{name}"])
    if optimization.averaged is not module:
        for name, value in optimization.averaged.state_dict().items():
            value.copy_(tensors[f"averaged.{name}"])
    parameters = optimization.parameters
    for key, value in tensors.items():
        group, _, rest = key.partition(".")
        if group == "optimizer":
            field, _, number = rest.rpartition(".")
            parameter = parameters[int(number)]
            like = parameter if value.shape == parameter.shape else value
            moved = torch.empty_like(like, dtype=value.dtype, device=parameter.device).copy_(value)
            optimization.optimizer.state[parameter][field] = moved
    _restore_random_state(tensors)


def _random_state() -> dict[str, Tensor]:
    _, keys, position, has_normal, normal = np.random.get_state(legacy=True)  # mmdet draws from it
    _, python, _ = random.getstate()
    state = {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "random.numpy_position": torch.tensor([position, has_normal], dtype=torch.int64),
        "random.numpy_normal": torch.tensor(normal, dtype=torch.float64),
        "random.python": torch.tensor(python, dtype=torch.int64),
    }
    if torch.cuda.is_available():
        state["random.cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random.torch"])
    position, has_normal = tensors["random.numpy_position"].tolist()
    keys, normal = tensors["random.numpy"].numpy().astype(np.uint32), float(tensors["random.numpy_normal"])
    np.random.set_state(("MT19937", keys, position, has_normal, normal))
    random.setstate((3, tuple(tensors["random.python"].tolist()), None))
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
