"""The fidelities, which are the ways to make a label, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.errors import UnknownNameError
from workers.messages.calibrated_recipe import CalibratedRecipe, reject_calibrated
from workers.messages.measured_recipe import MeasuredRecipe, reject_measured
from workers.messages.published_recipe import PublishedRecipe, reject_published
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.messages.shared_recipe import SharedRecipe, load_shared_recipe

LoadRecipe = Callable[[str, str, str, Mapping[str, Any] | None], Recipe]  # of tier or file, task, space, overrides


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A way to make labels.

    evaluator: its factory as "package.module:callable", imported only where labels are made. recipe: the class of its
    recipes. load: loads a recipe. trains: it trains networks, so that predictions can be drawn and companion tasks
    evaluated.
    """

    evaluator: str
    recipe: type[Recipe]
    load: LoadRecipe
    trains: bool = True


_FIDELITIES = {
    "full": Fidelity("workers.training.full:FullEvaluator", Recipe, load_recipe),
    "shared": Fidelity("workers.supernet.evaluator:SharedEvaluator", SharedRecipe, load_shared_recipe),
    "proxy": Fidelity("workers.proxies:ProxyEvaluator", Recipe, load_recipe, trains=False),
    "calibrated": Fidelity("", CalibratedRecipe, reject_calibrated, trains=False),
    "measured": Fidelity("", MeasuredRecipe, reject_measured, trains=False),
    "published": Fidelity("", PublishedRecipe, reject_published, trains=False),
}


def get_fidelity(name: str) -> Fidelity:
    """Return the fidelity `name`. Raises UnknownNameError with the known names."""
    if name not in _FIDELITIES:
        raise UnknownNameError("fidelity", name, _FIDELITIES)
    return _FIDELITIES[name]
