"""How shared weights are trained: a recipe with the few fields that only they need."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from workers.recipe import Recipe


class SupernetRecipe(Recipe):
    """The budget of a space's shared weights. Classification teaches them, whatever the task of the labels is."""

    sampled: int = Field(
        default=2, ge=0, description="Networks drawn each step, besides the largest and the smallest of the space."
    )
    distill: float = Field(
        default=1.0, ge=0, le=1, description="Share of the largest network's outputs in what the others learn from."
    )
    calibration_batches: int = Field(default=8, ge=1, description="Batches that batch norms are measured on.")
    save_every: int = Field(default=200, ge=1, description="Steps between two checkpoints.")

    _NOT_HASHED: ClassVar[frozenset[str]] = Recipe._NOT_HASHED | {"save_every"}


def shipped_supernet_recipes() -> dict[str, Path]:
    """Tiers and files of the recipes that come with the project."""
    folder = Path(str(resources.files("workers") / "supernet" / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
