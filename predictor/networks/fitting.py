"""The training loop of all networks: Adam, on one worker or on several that share each batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from predictor.distributed import average_gradients
from predictor.features.nodes import Integers
from predictor.networks.batch import GraphBatch
from predictor.networks.examples import Examples

ScoreFunction = Callable[[GraphBatch], Tensor]  # to (count, sets), or (count, 1) if the score is common to all sets
LossFunction = Callable[[Tensor, Tensor], Tensor]  # of such scores and (count, sets) targets, NaN if there is no label


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train.

    batch_size: graphs per step. learning_rate: of Adam; cosine_decay reduces it to 0 over the epochs. clip_norm: of
    the gradient. patience: epochs without a better hold-out loss after which training stops and the best weights are
    used; None: all epochs, and the last weights. epoch_graphs: maximum number of graphs per epoch, drawn again each
    time. warm_start: the initial weights are trained already, and are used if no epoch has a better hold-out loss.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    cosine_decay: bool = False
    clip_norm: float = 5.0
    patience: int | None = None
    epoch_graphs: int = 10**9
    warm_start: bool = False


@dataclass(slots=True)
class TrainingProgress:
    """Epochs done and losses. loss: of the hold-out, or of the training examples if nothing is held out."""

    epoch: int = 0
    loss: float = float("inf")
    best_epoch: int = 0
    best_loss: float = float("inf")


class Checkpointer(Protocol):
    """Saves the state of a training after every epoch, so that it can resume and its progress can be shown."""

    def load(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """Return what was last saved for a stage; None if there is nothing."""

    def save(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        """Save one epoch of `epochs`. state: returns the tensors that `load` must return."""


class NoCheckpointer:
    """Saves nothing."""

    def load(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """Return None."""
        return None

    def save(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What to train. stage: its name in checkpoints. score: from graphs to scores. held_out: may be empty.

    always_included: row numbers of examples that every epoch includes, even beyond `epoch_graphs`.
    """

    stage: str
    network: nn.Module
    score: ScoreFunction
    loss: LossFunction
    examples: Examples
    held_out: Examples
    always_included: Integers = field(default_factory=lambda: np.zeros(0, np.int64))


def train_network(
    task: TrainingTask, settings: TrainingSettings, seed: int, checkpointer: Checkpointer
) -> TrainingProgress:
    """Train, from the last checkpoint if there is one. Deterministic for a seed on one machine."""
    network, device = task.network, next(task.network.parameters()).device
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, settings.learning_rate)
    progress, best = TrainingProgress(), copy.deepcopy(network.state_dict())
    if saved := checkpointer.load(task.stage):
        progress, best = saved[0], _load_state(saved[1], network, optimizer)
    elif settings.warm_start and len(task.held_out):
        progress.loss = progress.best_loss = held_out_loss(task, settings.batch_size)
    while progress.epoch < settings.epochs and not _stops(progress, settings):
        network.train()
        losses = list[float]()
        for group in optimizer.param_groups:
            decay = _cosine(progress.epoch / settings.epochs) if settings.cosine_decay else 1.0
            group["lr"] = settings.learning_rate * decay
        for rows in _batches(len(task.examples), settings, seed + progress.epoch, task.always_included):
            loss = _loss(task, task.examples.take(rows), device)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            average_gradients(parameters)
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimizer.step()
            losses.append(loss.item())
        progress.epoch += 1
        progress.loss = held_out_loss(task, settings.batch_size) if len(task.held_out) else float(np.mean(losses))
        if settings.patience is None or progress.loss < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, progress.loss
            best = copy.deepcopy(network.state_dict())
        checkpointer.save(task.stage, progress, partial(_state, network, optimizer, best), settings.epochs)
    network.load_state_dict(best)
    network.eval()
    return progress


@torch.no_grad()
def held_out_loss(task: TrainingTask, batch_size: int) -> float:
    """Return the mean loss over the hold-out, the same on every worker."""
    task.network.eval()
    device = next(task.network.parameters()).device
    starts = range(0, len(task.held_out), batch_size)
    parts = [task.held_out.take(np.arange(s, min(s + batch_size, len(task.held_out)))) for s in starts]
    losses = [_loss(task, part, device).item() * len(part) for part in parts]
    return sum(losses) / len(task.held_out)


def _loss(task: TrainingTask, examples: Examples, device: torch.device) -> Tensor:
    targets = torch.from_numpy(examples.scores).to(device)
    return task.loss(task.score(GraphBatch.of(examples.graphs, examples.indices, device)), targets)


def mean_squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over all labels; targets that are NaN are ignored."""
    missing = targets.isnan()
    errors = torch.where(missing, 0.0, scores - targets.nan_to_num())
    return (errors**2).sum() / (~missing).sum().clamp(min=1)


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _batches(
    examples: int, settings: TrainingSettings, seed: int, always_included: Integers | None = None
) -> Iterator[Integers]:
    """Yield this worker's part of every batch of an epoch; all workers draw the same order."""
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    generator = np.random.default_rng(seed)
    order = generator.permutation(examples)
    if always_included is not None and len(always_included):
        others = order[~np.isin(order, always_included)]
        others = others[: max(0, settings.epoch_graphs - len(always_included))]
        order = generator.permutation(np.concatenate([always_included, others]))
    else:
        order = order[: settings.epoch_graphs]
    for start in range(0, len(order), settings.batch_size):
        batch = order[start : start + settings.batch_size]
        if len(batch) >= workers:  # a smaller one would leave workers without examples
            yield batch[rank::workers]


def _stops(progress: TrainingProgress, settings: TrainingSettings) -> bool:
    return settings.patience is not None and progress.epoch - progress.best_epoch >= settings.patience


def _state(network: nn.Module, optimizer: torch.optim.Adam, best: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return all tensors that `_load_state` needs, by name."""
    state = {f"now.{name}": value for name, value in network.state_dict().items()}
    state |= {f"best.{name}": value for name, value in best.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        state |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    return {name: value.detach().clone().contiguous() for name, value in state.items()}


def _load_state(state: dict[str, Tensor], network: nn.Module, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Restore network and optimiser, and return the best weights so far."""
    groups = optimizer.state_dict()
    for name, value in state.items():
        kind, _, rest = name.partition(".")
        if kind == "adam":
            number, _, moment = rest.partition(".")
            groups["state"].setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict(groups)
    network.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("now.")})
    return {name[5:]: value for name, value in state.items() if name.startswith("best.")}
