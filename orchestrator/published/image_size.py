"""Parse image sizes from options and files."""

from __future__ import annotations

IMAGE_SIZE = "SIDE or HEIGHTxWIDTH"


def image_size(text: str) -> tuple[int, int]:
    """Return height and width in pixels from 224 or 800x1333. Raises ValueError for anything else."""
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
        raise ValueError(f"{text} is not {IMAGE_SIZE}")
    return int(parts[0]), int(parts[-1])
