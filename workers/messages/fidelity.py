"""The ways in which a label can be made, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.errors import UnknownNameError
from workers.messages.published_recipe import PublishedRecipe, refuse_to_make
from workers.messages.recipe import Recipe, load_recipe
from workers.messages.shared_recipe import SharedRecipe, load_shared_recipe

LoadRecipe = Callable[[str, str, str, Mapping[str, Any] | None], Recipe]  # tier or file, task, space, overrides


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What a fidelity needs. evaluator: its importable factory, so that who only plans need not load it.

    trains: gives networks whose predictions can be shown and counted for companions.
    """

    evaluator: str
    recipe: type[Recipe]
    load: LoadRecipe
    trains: bool = True


_FIDELITIES = {
    "full": Fidelity("workers.training.full:FullEvaluator", Recipe, load_recipe),
    "shared": Fidelity("workers.supernet.evaluator:SharedEvaluator", SharedRecipe, load_shared_recipe),
    "proxy": Fidelity("workers.proxies:ProxyEvaluator", Recipe, load_recipe, trains=False),
    "published": Fidelity("", PublishedRecipe, refuse_to_make, trains=False),
}


def get_fidelity(name: str) -> Fidelity:
    """The fidelity of that name. Raises UnknownNameError, naming those there are."""
    if name not in _FIDELITIES:
        raise UnknownNameError("fidelity", name, _FIDELITIES)
    return _FIDELITIES[name]
