"""A journal in a folder that all workers reach: what a training that was killed goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor

from predictor.atomic_write import replace_file
from predictor.networks.fitting import TrainingProgress

_NOW = "progress.json"


class FolderCheckpointer:
    """A file a stage, replaced after every epoch by the worker of rank 0; its header holds the progress."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def restore(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """See `Checkpointer.restore`."""
        try:
            told = json.loads((self._folder / f"{_safe(stage)}.json").read_text())
            weights = (self._folder / told.pop("weights")).read_bytes()
        except FileNotFoundError:
            return None
        return TrainingProgress(**told), load(weights)

    def note(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        """See `Checkpointer.note`. The state goes first, so that a progress always has its own."""
        if dist.is_initialized() and dist.get_rank():
            return
        weights = f"{_safe(stage)}.{progress.epoch % 2}.safetensors"
        replace_file(self._folder / weights, save(state()))
        told = asdict(progress) | {"weights": weights}
        replace_file(self._folder / f"{_safe(stage)}.json", json.dumps(told).encode())
        replace_file(self._folder / _NOW, json.dumps({"stage": stage, "epochs": epochs, **asdict(progress)}).encode())


def read_progress(folder: Path) -> dict[str, Any] | None:
    """stage, epoch, epochs, loss of what was last noted in a folder; None before that."""
    try:
        told: dict[str, Any] = json.loads((folder / _NOW).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return told


def _safe(stage: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stage)
