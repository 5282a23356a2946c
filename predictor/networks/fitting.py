"""How a network learns from examples: Adam, over epochs, on one worker or on several that share each batch."""

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

Score = Callable[[GraphBatch], Tensor]  # to (count, sets), or (count, 1) where it says the same of every set
Loss = Callable[[Tensor, Tensor], Tensor]  # such scores, and (count, sets) to be learnt, NaN where there is no label


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """batch: graphs a step. rate: Adam's; if it decays, down to nothing along a cosine. clip: of the gradient's norm.

    patience: epochs without a better hold-out after which it stops, and the best is kept; None: all epochs, and the
    last is kept. most: graphs an epoch, drawn anew each time. from_known: the weights it begins with know something
    already, and are kept where no epoch is better on the hold-out.
    """

    epochs: int
    batch: int
    rate: float
    decays: bool = False
    clip: float = 5.0
    patience: int | None = None
    most: int = 10**9
    from_known: bool = False


@dataclass(slots=True)
class TrainingProgress:
    """Where learning is. loss: of the hold-out, or of what is learnt from where nothing is held out."""

    epoch: int = 0
    loss: float = float("inf")
    best_epoch: int = 0
    best_loss: float = float("inf")


class Checkpointer(Protocol):
    """Keeps what is needed to go on after a crash, and tells people how far it is."""

    def restore(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """What was last noted of a stage; None where it has not begun."""

    def note(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        """An epoch of `epochs` is done. state: what `restore` is to give back."""


class NoCheckpointer:
    """A journal that keeps nothing."""

    def restore(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """Nothing."""
        return None

    def note(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """stage: its name in the journal. network: what learns. score: how it reads graphs. held_out: may be empty.

    always: examples, by number, that no epoch leaves out, whatever `most` says.
    """

    stage: str
    network: nn.Module
    score: Score
    loss: Loss
    examples: Examples
    held_out: Examples
    always: Integers = field(default_factory=lambda: np.zeros(0, np.int64))


def train_network(
    task: TrainingTask, settings: TrainingSettings, seed: int, checkpointer: Checkpointer
) -> TrainingProgress:
    """Learn; the same numbers for the same seed on the same machine. Goes on from the journal where it can."""
    network, device = task.network, next(task.network.parameters()).device
    learning = [p for p in network.parameters() if p.requires_grad]
    adam = torch.optim.Adam(learning, settings.rate)
    progress, best = TrainingProgress(), copy.deepcopy(network.state_dict())
    if kept := checkpointer.restore(task.stage):
        progress, best = kept[0], _restored(kept[1], network, adam)
    elif settings.from_known and len(task.held_out):
        progress.loss = progress.best_loss = held_out_loss(task, settings.batch)
    while progress.epoch < settings.epochs and not _stops(progress, settings):
        network.train()
        seen = list[float]()
        for group in adam.param_groups:
            group["lr"] = settings.rate * (_cosine(progress.epoch / settings.epochs) if settings.decays else 1.0)
        for rows in _batches(len(task.examples), settings, seed + progress.epoch, task.always):
            loss = _loss(task, task.examples.take(rows), device)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            average_gradients(learning)
            nn.utils.clip_grad_norm_(learning, settings.clip)
            adam.step()
            seen.append(loss.item())
        progress.epoch += 1
        progress.loss = held_out_loss(task, settings.batch) if len(task.held_out) else float(np.mean(seen))
        if settings.patience is None or progress.loss < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, progress.loss
            best = copy.deepcopy(network.state_dict())
        checkpointer.note(task.stage, progress, partial(_state, network, adam, best), settings.epochs)
    network.load_state_dict(best)
    network.eval()
    return progress


@torch.no_grad()
def held_out_loss(task: TrainingTask, batch: int) -> float:
    """Mean loss over the hold-out. The same on every worker."""
    task.network.eval()
    device = next(task.network.parameters()).device
    starts = range(0, len(task.held_out), batch)
    parts = [task.held_out.take(np.arange(s, min(s + batch, len(task.held_out)))) for s in starts]
    losses = [_loss(task, part, device).item() * len(part) for part in parts]
    return sum(losses) / len(task.held_out)


def _loss(task: TrainingTask, some: Examples, device: torch.device) -> Tensor:
    wanted = torch.from_numpy(some.scores).to(device)
    return task.loss(task.score(GraphBatch.of(some.graphs, some.which, device)), wanted)


def mean_squared(scores: Tensor, wanted: Tensor) -> Tensor:
    """Over all labels there are."""
    missing = wanted.isnan()
    missed = torch.where(missing, 0.0, scores - wanted.nan_to_num())
    return (missed**2).sum() / (~missing).sum().clamp(min=1)


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def _batches(
    examples: int, settings: TrainingSettings, seed: int, always: Integers | None = None
) -> Iterator[Integers]:
    """This worker's share of every batch of an epoch; all workers draw the same order."""
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    draw = np.random.default_rng(seed)
    order = draw.permutation(examples)
    if always is not None and len(always):
        others = order[~np.isin(order, always)]
        order = draw.permutation(np.concatenate([always, others[: max(0, settings.most - len(always))]]))
    else:
        order = order[: settings.most]
    for start in range(0, len(order), settings.batch):
        batch = order[start : start + settings.batch]
        if len(batch) >= workers:  # else there would be workers without any
            yield batch[rank::workers]


def _stops(progress: TrainingProgress, settings: TrainingSettings) -> bool:
    return settings.patience is not None and progress.epoch - progress.best_epoch >= settings.patience


def _state(network: nn.Module, adam: torch.optim.Adam, best: dict[str, Tensor]) -> dict[str, Tensor]:
    """Everything that `_restored` takes, by name."""
    state = {f"now.{name}": value for name, value in network.state_dict().items()}
    state |= {f"best.{name}": value for name, value in best.items()}
    for number, moments in adam.state_dict()["state"].items():
        state |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    return {name: value.detach().clone().contiguous() for name, value in state.items()}


def _restored(state: dict[str, Tensor], network: nn.Module, adam: torch.optim.Adam) -> dict[str, Tensor]:
    """Bring network and optimiser to where they were; the best weights so far."""
    groups = adam.state_dict()
    for name, value in state.items():
        kind, _, rest = name.partition(".")
        if kind == "adam":
            number, _, moment = rest.partition(".")
            groups["state"].setdefault(int(number), {})[moment] = value
    adam.load_state_dict(groups)
    network.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("now.")})
    return {name[5:]: value for name, value in state.items() if name.startswith("best.")}
