"""The fidelity `published`: labels that others made, and what is known of how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from workers.errors import RecipeError
from workers.messages.recipe import Recipe

FIDELITY = "published"


class PublishedRecipe(Recipe):
    """What a published result tells of its making: a name, and the size of the images. The other fields say nothing."""

    input_size: tuple[int, int] = Field(default=(224, 224), description="Height and width in pixels, of any size.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        return self


def refuse_to_make(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> PublishedRecipe:
    """Raises RecipeError: these labels are not made."""
    raise RecipeError("--fidelity published: such labels are not made but read: use `orchestrator import FILE.csv`")
