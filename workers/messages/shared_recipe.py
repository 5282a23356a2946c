"""Recipes of fidelity `shared`: of the shared weights, of the shared head, and of the fine-tune that uses both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from workers.errors import RecipeError, UnknownNameError
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import checked_recipe, load_recipe, recipe_fields, recipe_file, shipped_recipes

COMMON_FIELDS = ("body", "head", "input_size")  # equal in the fine-tune, the shared head and the recipe `full`


class SupernetRecipe(Recipe):
    """The budget of a space's shared weights, which are trained on `task`. Labels may have another task."""

    data: str | None = Field(
        default=None,
        description="Data set that the weights are trained on, as FORMAT[:WHERE]. If unset, the data set of the labels "
        "if they have the same task, shapes otherwise.",
    )
    pretrained: str | None = Field(
        default=None, description="safetensors file of published Once-for-All weights, which are used without training."
    )
    seed: int = Field(default=0, ge=0, description="Seed of initialisation, data order and sampled networks.")
    sandwich: bool = Field(
        default=True,
        description="Sandwich rule: each step also trains the largest and the smallest network of the space, and the "
        "others are distilled from the largest. Otherwise only sampled networks are trained.",
    )
    sampled: int = Field(default=2, ge=0, description="Networks sampled per step.")
    distill: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Weight of in-place distillation in the loss of the other networks, with sandwich.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="Processes that share each batch. Each has `cpus` and `gpus`; batch norms see its part alone.",
    )
    save_every: int = Field(default=200, ge=1, description="Steps between two checkpoints.")

    # Instead, the artifact's name contains a fingerprint of the data or of the published weights.
    _NOT_HASHED: ClassVar[frozenset[str]] = Recipe._NOT_HASHED | {"save_every", "data", "pretrained"}

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not self.sandwich and not self.sampled:
            raise ValueError("sampled 0 leaves no network to train without sandwich: raise sampled, or set sandwich")
        return self


class HeadRecipe(Recipe):
    """The budget of the head that all networks of a space share (Mills et al., AIO-P, AAAI 2023)."""

    method: Literal["latent", "swapping", "none"] = Field(
        default="latent",
        description="latent: features sampled over a pool of backbones; swapping: a backbone at a time; none: no head.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of initialisation, data order and sampled backbones.")
    strata: int = Field(default=5, ge=1, description="Strata of depth from which backbones are sampled.")
    per_stratum: int = Field(default=1, ge=1, description="Backbones of each stratum in the pool, for latent sampling.")
    calibration_images: int = Field(
        default=32, ge=1, description="Images for the batch norm calibration of each new backbone."
    )
    swap_every: int = Field(default=10, ge=1, description="Batches per backbone, for swapping.")


class SharedRecipe(Recipe):
    """A short fine-tune from shared weights and a shared head. Its own fields are the budget of the fine-tune."""

    full: str = Field(
        default="laptop", description="Recipe of fidelity full that these labels replace. Unset fields have its values."
    )
    train_body: bool = Field(default=True, description="Fine-tune the backbone too, not the head alone.")
    calibration_images: int = Field(
        default=128, ge=1, description="Images of the task for the batch norm calibration of a backbone."
    )
    supernet: SupernetRecipe
    supernet_fingerprint: str = Field(
        default="",
        description="Fingerprint of the supernet's data or published weights. Never set it by hand.",
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
        for name in COMMON_FIELDS:
            if getattr(self.shared_head, name) != getattr(self, name):
                raise ValueError(f"shared_head.{name} differs from {name}: leave it out to use the same")
        return self


def load_shared_recipe(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> SharedRecipe:
    """Load the recipe `which` of fidelity `shared`, a tier or a YAML file, for one task and space.

    Unset fields, also those of `shared_head`, have the values of the recipe that `full` names. `supernet` names a
    shipped recipe of shared weights, such as cls.laptop, or a YAML file. In `overrides`, `supernet` is such a name or a
    mapping of its fields; `shared_head` is a mapping of its fields.

    Raises:
        UnknownNameError: no such tier for the task.
        RecipeError: a file is not a valid recipe.
    """
    path, changes = recipe_file(which, task, "shared"), dict(overrides or {})
    own = {"full": "laptop", "supernet": "cls.laptop"} | recipe_fields(path, space)
    for name, example in (("full", "laptop"), ("supernet", "cls.laptop")):
        if isinstance(changes.get(name), str):
            own[name] = changes.pop(name)
        if not isinstance(own[name], str):
            raise RecipeError(
                f"recipe {path}: {name} is {own[name]!r}: name a recipe such as {example}, or a YAML file"
            )
    common = {name: changes.pop(name) for name in COMMON_FIELDS if name in changes}
    full = load_recipe(own["full"], task, space, common).model_dump(mode="json", exclude={"name", "version"})
    own_head = {"name": f"{own['name']}.head"} | dict(_section(own.pop("shared_head", {}), "shared_head", path))
    changes_of_parts = {key: _section(changes.pop(key, {}), key, path) for key in ("supernet", "shared_head")}
    supernet_path = _supernet_file(own["supernet"])
    weights = {"task": "cls"} | recipe_fields(supernet_path, space) | {"body": full["body"]}
    own["supernet"] = checked_recipe(
        SupernetRecipe, weights, changes_of_parts["supernet"], supernet_path, str(weights["task"])
    )
    head = _shortened(full, own_head, changes_of_parts["shared_head"])
    own["shared_head"] = checked_recipe(HeadRecipe, head, changes_of_parts["shared_head"], path, task)
    return checked_recipe(SharedRecipe, _shortened(full, own, changes), changes, path, task)


def _shortened(full: Mapping[str, Any], own: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the recipe `full` with those of `own`, for a training that may have fewer steps.

    Values of `full` for another length are replaced: `epochs`; a warm-up, or an average that is too slow, which then
    takes a tenth of the training. changes: of the user; they are not included.
    """
    fields, chosen = {**full, **own}, {**own, **changes}
    steps = chosen.get("steps")
    if not isinstance(steps, int):
        return fields
    tenth = max(1, steps // 10)
    if "epochs" not in chosen:
        fields["epochs"] = None
    if "warmup_steps" not in chosen and fields["warmup_steps"] is not None:
        fields["warmup_steps"] = min(fields["warmup_steps"], tenth)
    kept = changes if "steps" in changes else chosen  # a user who shortens a recipe did not choose its average
    if "ema" not in kept and fields["ema"] and steps * (1 - fields["ema"]) < 1:
        fields["ema"] = round(1 - 1 / tenth, 4)
    return fields


def _supernet_file(which: str) -> Path:
    """Return the YAML file `which`, or the file of a shipped recipe, called TASK.TIER by the task it is trained on."""
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
