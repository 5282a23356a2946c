"""How cheap labels are made: recipes of shared weights, of the shared head, and of the fine-tune from both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from workers.errors import RecipeError, UnknownNameError
from workers.messages.recipe import Recipe, checked_recipe, load_recipe, recipe_fields, recipe_file, shipped_recipes

COMMON = ("body", "head", "input_size")  # what fine-tune, shared head and recipe `full` have in common


class SupernetRecipe(Recipe):
    """The budget of a space's shared weights, and the task that teaches them, whatever that of the labels is."""

    data: str | None = Field(
        default=None,
        description="FORMAT[:WHERE] that the weights are trained on. If unset, that of the labels where the same task "
        "teaches them, shapes otherwise.",
    )
    pretrained: str | None = Field(
        default=None, description="safetensors file of published Once-for-All weights, used as they are: no training."
    )
    seed: int = Field(default=0, ge=0, description="Of initialisation, data order and the networks drawn.")
    sandwich: bool = Field(
        default=True,
        description="Every step trains the largest and the smallest network of the space too, and the largest teaches "
        "the others. Without, weights that only the largest network has are no better trained than all others.",
    )
    sampled: int = Field(default=2, ge=0, description="Networks drawn each step.")
    distill: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="With sandwich, the share of the largest network's outputs in what the others learn from.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="Processes that share each batch; each has `cpus` and `gpus`, its batch norms see its part.",
    )
    save_every: int = Field(default=200, ge=1, description="Steps between two checkpoints.")

    # The artifact's name holds the fingerprint of what the weights come from instead.
    _NOT_HASHED: ClassVar[frozenset[str]] = Recipe._NOT_HASHED | {"save_every", "data", "pretrained"}

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not self.sandwich and not self.sampled:
            raise ValueError("sampled 0 leaves no network to train without sandwich: raise sampled, or set sandwich")
        return self


class HeadRecipe(Recipe):
    """The budget of the head that all bodies of a space start from (Mills et al., AIO-P, AAAI 2023)."""

    method: Literal["latent", "swapping", "none"] = Field(
        default="latent",
        description="latent: features drawn from a pool of bodies; swapping: one body at a time; none: no training.",
    )
    seed: int = Field(default=0, ge=0, description="Of initialisation, data order and the bodies drawn.")
    strata: int = Field(default=5, ge=1, description="Depths that the pool of bodies is spread over.")
    per_stratum: int = Field(default=1, ge=1, description="Bodies of each depth in the pool, for latent sampling.")
    calibration_images: int = Field(
        default=32, ge=1, description="Images that batch norms of a body are measured on, each time one joins the pool."
    )
    swap_every: int = Field(default=10, ge=1, description="Batches that a body serves, for swapping.")


class SharedRecipe(Recipe):
    """A short fine-tune from shared weights and a shared head. Its own budget is that of the fine-tune alone."""

    full: str = Field(
        default="laptop", description="Recipe of fidelity full that these labels stand in for: what is not set is its."
    )
    train_body: bool = Field(default=True, description="Fine-tune the body too; the head alone otherwise.")
    calibration_images: int = Field(
        default=128, ge=1, description="Images of the task that batch norms of a body are measured on."
    )
    supernet: SupernetRecipe
    supernet_fingerprint: str = Field(
        default="", description="Of the supernet's data, or published weights; filled in, never set by hand."
    )
    shared_head: HeadRecipe

    _NOT_HASHED: ClassVar[frozenset[str]] = Recipe._NOT_HASHED | {"full"}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.supernet.workers > self.supernet.batch:
            raise ValueError(
                f"supernet.workers {self.supernet.workers} share a batch of {self.supernet.batch}: lower "
                "supernet.workers or raise supernet.batch"
            )
        if self.supernet.body != self.body:
            raise ValueError(f"supernet.body {self.supernet.body} differs from body {self.body}: make them equal")
        for name in COMMON:
            if getattr(self.shared_head, name) != getattr(self, name):
                raise ValueError(f"shared_head.{name} differs from {name}: leave it out, and it is the same")
        return self


def load_shared_recipe(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> SharedRecipe:
    """The recipe of fidelity `shared` called `which`, a tier or a YAML file, resolved for one task and space.

    Unset fields are those of the recipe it names as `full`; unset ones of `shared_head` too. `supernet` names a shipped
    recipe of shared weights, such as cls.laptop, or a YAML file. In `overrides`, it is such a name or, like
    `shared_head`, fields of it.

    Raises:
        UnknownNameError: no such tier for the task.
        RecipeError: a file is not a valid recipe.
    """
    path, changes = recipe_file(which, task, "shared"), dict(overrides or {})
    own = {"full": "laptop", "supernet": "cls.laptop"} | recipe_fields(path, space)
    for name, known in (("full", "laptop"), ("supernet", "cls.laptop")):
        if isinstance(changes.get(name), str):
            own[name] = changes.pop(name)
        if not isinstance(own[name], str):
            raise RecipeError(f"recipe {path}: {name} is {own[name]!r}: name a recipe such as {known}, or a YAML file")
    common = {name: changes.pop(name) for name in COMMON if name in changes}
    full = load_recipe(own["full"], task, space, common).model_dump(mode="json", exclude={"name", "version"})
    head = full | {"name": f"{own['name']}.head"} | dict(own.pop("shared_head", {}))
    budget = {key: _section(changes.pop(key, {}), key, path) for key in ("supernet", "shared_head")}
    where = _supernet_file(own["supernet"])
    weights = {"task": "cls"} | recipe_fields(where, space) | {"body": full["body"]}
    own["supernet"] = checked_recipe(SupernetRecipe, weights, budget["supernet"], where, str(weights["task"]))
    own["shared_head"] = checked_recipe(HeadRecipe, head, budget["shared_head"], path, task)
    return checked_recipe(SharedRecipe, full | own, changes, path, task)


def _supernet_file(which: str) -> Path:
    """The YAML file that a user names, or a shipped one, called TASK.TIER by the task that teaches it."""
    if Path(which).suffix in {".yaml", ".yml"}:
        return Path(which)
    known = shipped_recipes("supernet")
    if which not in known:
        raise UnknownNameError("supernet recipe", which, known)
    return known[which]


def _section(value: Any, name: str, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"recipe {path}: {name} is {value!r}: set its fields, for example {name}.steps=100")
    return value
