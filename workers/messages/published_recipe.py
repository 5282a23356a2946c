"""The fidelity `published`: labels that others published, and what is known about how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from workers.errors import RecipeError
from workers.messages.recipe import Recipe

FIDELITY = "published"


class PublishedRecipe(Recipe):
    """The recipe of a published result: its name and the image size. The other fields have no meaning."""

    input_size: tuple[int, int] = Field(default=(224, 224), description="Height and width in pixels, of any size.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        """Replace the check of sizes that networks for labels need."""
        return self


def reject_published(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> PublishedRecipe:
    """Raise RecipeError, because published labels are imported, not made."""
    raise RecipeError("--fidelity published: such labels cannot be made: use `orchestrator import FILE.csv`")
