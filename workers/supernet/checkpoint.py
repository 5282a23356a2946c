"""Checkpoints of a supernet's training, to resume it after a crash. Files are safetensors, never pickle."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from predictor.atomic_write import replacing

_NAME = re.compile(r"step-(\d+)\.safetensors")


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor]) -> Path:
    """Write step-N.safetensors, completely or not at all, then remove older checkpoints. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    with replacing(path) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial)
    for older in folder.iterdir():
        if older != path and _NAME.fullmatch(older.name):
            older.unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path) -> dict[str, Tensor] | None:
    """Return the tensors of the latest readable checkpoint, None if there is none. Unreadable files are renamed."""
    paths = sorted(folder.glob("step-*.safetensors"), reverse=True) if folder.is_dir() else []
    for path in paths:
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            shutil.move(path, path.with_suffix(".unreadable"))
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints, also unreadable ones and what an interrupted write left."""
    for pattern in ("step-*", ".step-*"):
        for path in folder.glob(pattern):
            path.unlink()
