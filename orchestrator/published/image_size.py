"""Parse image sizes from options and files."""

from __future__ import annotations

from predictor.plain_numbers import plain_int

IMAGE_SIZE = "SIDE or HEIGHTxWIDTH"
MAX_SIDE = 2**15  # pixels; a network on a larger image takes more memory than any machine has


def image_size(text: str) -> tuple[int, int]:
    """Return height and width in pixels from 224 or 800x1333. Raises ValueError for anything else."""
    parts = text.split("x")
    try:
        sides = [plain_int(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1 or "+" in text:
        raise ValueError(f"{text} is not {IMAGE_SIZE}")
    if max(sides) > MAX_SIDE:
        raise ValueError(f"{text} is larger than {MAX_SIDE:,} pixels a side")
    return sides[0], sides[-1]
