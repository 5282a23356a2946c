"""The fidelity `measured`: costs of networks on a device, such as latency, and which networks they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from workers.errors import RecipeError
from workers.messages.recipe import Recipe

FIDELITY = "measured"
WHOLE = "whole."  # followed by the input size: the name of recipes of networks without a head of ours


class MeasuredRecipe(Recipe):
    """What the measured network is: a backbone with the head of a recipe, or a network as it is, at an input size.

    Of the other fields only those that decide a network have a meaning. What is measured with, such as the device, is
    the data set of the label. Names and defaults never change, because they are hashed into keys.
    """

    input_size: tuple[int, int] = Field(default=(224, 224), description="Height and width in pixels, of any size.")
    classes: int | None = Field(default=None, description="Number of classes of the head.")
    things: int | None = Field(default=None, description="Number of classes with countable objects.")
    joints: int | None = Field(default=None, description="Number of joints of a person.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        """Replace the check of sizes that networks for labels need."""
        return self


def reject_measured(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> MeasuredRecipe:
    """Raise RecipeError, because costs are measured by another command."""
    raise RecipeError("--fidelity measured: such labels are made by `orchestrator latency MODEL --store STORE`")
