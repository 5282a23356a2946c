"""Where a supernet's training can go on after a crash: whole checkpoints only, never pickle."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

_NAME = re.compile(r"step-(\d+)\.safetensors")


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor]) -> Path:
    """Writes step-N.safetensors, whole or not at all, and drops the older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    partial = path.with_suffix(f".partial-{os.getpid()}")
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    for older in folder.iterdir():
        if older != path and _NAME.fullmatch(older.name):
            older.unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path) -> dict[str, Tensor] | None:
    """The tensors of the latest checkpoint that can be read; None where there is none. Torn ones are set aside."""
    found = sorted(folder.glob("step-*.safetensors"), reverse=True) if folder.is_dir() else []
    for path in found:
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            shutil.move(path, path.with_suffix(".unreadable"))
    return None
