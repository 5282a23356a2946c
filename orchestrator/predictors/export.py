"""Write a generation to a folder that can be shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from predictor.generation import read_generation, write_generation


def export_generation(generation: Path, out: Path) -> None:
    """Copy a generation without the location of its labels, which is a path of this machine.

    Raises GenerationError if the generation is damaged, or `out` exists or cannot be written.
    """
    content = read_generation(generation)
    write_generation(out, replace(content, metadata=replace(content.metadata, store="", version=-1)))
