"""Training checkpoints in a folder that all workers can reach, from which a killed training resumes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from predictor.atomic_write import replace_file
from predictor.errors import one_line
from predictor.networks.fitting import TrainingProgress
from predictor.text_files import parse_json

log = logging.getLogger(__name__)

_PROGRESS = "progress.json"
_STORED = TypeAdapter(TrainingProgress)


class FolderCheckpointer:
    """Two files per stage, progress and state, which the worker of rank 0 replaces after every epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, stage: str) -> tuple[TrainingProgress, dict[str, Tensor]] | None:
        """See `Checkpointer.load`. A damaged checkpoint is logged and not used."""
        path = self._folder / f"{_file_name(stage)}.json"
        try:
            document = parse_json(path.read_bytes())
            progress = _STORED.validate_python(document)
            return progress, load_tensors((self._folder / str(document["weights"])).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, SafetensorError) as error:
            log.warning("checkpoint %s: not readable (%s): starting from the first epoch", path, one_line(error))
            return None

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
        progress = parse_json((folder / _PROGRESS).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return progress if isinstance(progress, dict) else None


def _file_name(stage: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stage)
