"""The fidelity `calibrated`: full labels that were estimated, and what they were estimated from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from workers.errors import RecipeError
from workers.messages.recipe import Recipe

FIDELITY = "calibrated"


class CalibratedRecipe(Recipe):
    """Which labels a calibration used. Of the other fields only those that decide a network have a meaning."""

    cheap: str = Field(description="Hash of the recipe of the cheap labels.")
    full: str = Field(description="Hash of the recipe of the full labels.")
    estimates: str = Field(description="Digest of the estimates, which depend on all these labels.")


def reject_calibrated(
    which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None
) -> CalibratedRecipe:
    """Raise RecipeError, because estimates are made by another command."""
    raise RecipeError("--fidelity calibrated: such labels are made by `orchestrator calibrate --task TASK`")
