"""Training checkpoints in a folder that all workers can reach, from which a killed training resumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from predictor.atomic_write import replace_file
from predictor.networks.fitting import TrainingProgress

_PROGRESS = "progress.json"


class FolderCheckpointer:
    """Two files per stage, progress and state, which the worker of rank 0 replaces after every epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """See `Checkpointer.load`."""
        try:
            progress = json.loads((self._folder / f"{_file_name(stage)}.json").read_text())
            weights = (self._folder / progress.pop("weights")).read_bytes()
        except FileNotFoundError:
            return None
        return TrainingProgress(**progress), load_tensors(weights)

    def save(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        """See `Checkpointer.save`. The state is written first, so that every progress file has its state."""
        if dist.is_initialized() and dist.get_rank():
            return
        weights = f"{_file_name(stage)}.{progress.epoch % 2}.safetensors"
        replace_file(self._folder / weights, save_tensors(state()))
        document = asdict(progress) | {"weights": weights}
        replace_file(self._folder / f"{_file_name(stage)}.json", json.dumps(document))
        newest = {"stage": stage, "epochs": epochs, **asdict(progress)}
        replace_file(self._folder / _PROGRESS, json.dumps(newest))


def read_progress(folder: Path) -> dict[str, Any] | None:
    """Return stage, epoch, epochs and loss of the newest checkpoint in a folder; None if there is none."""
    try:
        progress: dict[str, Any] = json.loads((folder / _PROGRESS).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return progress


def _file_name(stage: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stage)
