"""Generations of the predictor in one folder: numbered, and `latest` points to the one that is used."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

LATEST = "latest"


def next_generation(folder: Path) -> Path:
    """The folder after the highest number there is."""
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return folder / f"{max(numbers, default=0) + 1:06d}"


def publish(generation: Path) -> None:
    """Let `latest` point to a generation. Readers find the one before or this one, never none."""
    link = generation.with_name(f".{LATEST}.{uuid.uuid4().hex[:8]}")
    link.symlink_to(generation.name)
    os.replace(link, generation.with_name(LATEST))
