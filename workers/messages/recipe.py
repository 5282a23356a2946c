"""A recipe: the named, versioned budget and hyper-parameters that a label was made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workers.errors import RecipeError, UnknownNameError
from workers.yaml_file import read_mapping

_MOST_TRAININGS = 4  # a few images would ask for dozens

AnyRecipe = TypeVar("AnyRecipe", bound="Recipe")


class Recipe(BaseModel):
    """How one label is made. All of it is hashed into the label's key, but for the fields in `_NOT_HASHED`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name, unique with `version`.")
    version: int = Field(default=1, ge=1, description="Raised whenever a field of a published recipe changes.")
    task: str = Field(description="The task this recipe is for.")
    input_size: tuple[int, int] = Field(default=(96, 128), description="Height and width in pixels.")
    steps: int = Field(default=360, ge=1, description="Optimizer steps.")
    batch: int = Field(default=16, ge=1, description="Images a step, over all accumulated parts.")
    lr: float = Field(default=3e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Fraction of the steps spent warming up.")
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="After the warm-up.")
    ema: float = Field(default=0.99, ge=0, lt=1, description="Decay of the averaged weights; 0 evaluates the last.")
    clip_norm: float = Field(default=5.0, gt=0, description="Gradient norm is clipped here.")
    zoom: float = Field(
        default=1.0, gt=0, le=1, description="Training images are cut to a window whose sides are this share or more."
    )
    zoom_below: int | None = Field(
        default=None, ge=1, description="Cut only where there are fewer training images than this; always if unset."
    )
    passes: float | None = Field(
        default=None,
        gt=0,
        description="A training sees its images at most about so often. Steps beyond that go to further trainings from "
        "seeds of their own, whose metrics are averaged; no limit if unset.",
    )
    train_images: int | None = Field(default=None, ge=1, description="Use only the first so many; all if unset.")
    eval_images: int | None = Field(default=None, ge=1, description="Use only the first so many; all if unset.")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="Autocast type.")
    channels_last: bool = Field(default=True, description="Memory format; not of float32 on a GPU.")
    body: dict[str, Any] = Field(default_factory=dict, description="Settings the space's builder reads.")
    head: dict[str, Any] = Field(default_factory=dict, description="Settings the task's head reads.")
    cpus: float = Field(default=1, gt=0, description="CPU cores an actor reserves.")
    gpus: float = Field(default=0, ge=0, description="Fraction of a GPU an actor reserves.")
    memory_mb: int = Field(default=0, ge=0, description="Main memory an actor reserves; as it comes if 0.")
    time_limit_s: float = Field(default=1800, gt=0, description="An attempt is killed after so long, or sooner.")
    cache_mb: int = Field(default=1024, ge=1, description="Decoded images kept in a worker's memory.")

    # Where and how fast a label is made does not change what it means.
    _NOT_HASHED: ClassVar[frozenset[str]] = frozenset({"cpus", "gpus", "memory_mb", "time_limit_s", "cache_mb"})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(side % 32 for side in self.input_size):
            raise ValueError(f"input_size {self.input_size} must be multiples of 32, the coarsest stride of a body")
        if self.ema and self.steps * (1 - self.ema) < 1:
            raise ValueError(f"ema {self.ema} is too slow for {self.steps} steps: lower ema or raise steps")
        return self

    def trainings(self, images: int) -> tuple[int, Self]:
        """How many trainings on so many images a label takes, and the recipe of each: together they have `steps`."""
        if self.passes is None:
            return 1, self
        most = max(1.0, self.passes * images / self.batch)
        count = min(_MOST_TRAININGS, max(1, round(self.steps / most)))
        return count, self.model_copy(update={"steps": self.steps // count})

    @property
    def resources(self) -> dict[str, float]:
        """What an actor reserves, as Ray names and counts it; nothing that is 0."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_mb * 2.0**20}
        return {kind: needed for kind, needed in needs.items() if needed}

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of everything that can change a label.

        Fields at their default are left out, so a field added later leaves the keys of older labels alone. Hence a
        default never changes, and a new field's default means what was done before there was one.
        """
        parts = {name: part.hash for name in type(self).model_fields if isinstance(part := getattr(self, name), Recipe)}
        left_out = set(self._NOT_HASHED) | parts.keys()
        fields = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True) | parts
        text = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def shipped_recipes(section: str = "") -> dict[str, Path]:
    """Names and files of the recipes that come with the project, all in one folder or in a section of it."""
    folder = Path(str(resources.files("workers") / "recipes")) / section
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Recipe `which` (a tier such as `laptop`, or a YAML file) resolved for one task and space.

    The file's top-level fields come first, then its `spaces: {SPACE: {...}}` section, then `overrides`.

    Raises:
        UnknownNameError: no such tier for the task.
        RecipeError: the file is not a valid recipe.
    """
    path = recipe_file(which, task)
    return checked_recipe(Recipe, {"task": task} | recipe_fields(path, space), overrides or {}, path, task)


def recipe_file(which: str, task: str, section: str = "") -> Path:
    """The YAML file that a user names, or the shipped one of a tier, called TASK.TIER.

    Raises UnknownNameError for no such tier, RecipeError for one of another section.
    """
    if Path(which).suffix in {".yaml", ".yml"}:
        return Path(which)
    known = shipped_recipes(section)
    if f"{task}.{which}" not in known:
        tiers = [name.split(".", 1)[1] for name in known if name.startswith(f"{task}.")]
        if section == "shared" and f"{task}.{which}" in shipped_recipes():
            raise RecipeError(
                f"--recipe {which}: is for training from scratch: add --fidelity full, or choose {', '.join(tiers)}"
            )
        kind = f"{section} recipe" if section else "recipe"
        raise UnknownNameError(f"{kind} for task {task}", which, tiers)
    return known[f"{task}.{which}"]


def recipe_fields(path: Path, space: str) -> dict[str, Any]:
    """Fields of a recipe's file with those of its section for `space`, not yet checked. Raises RecipeError."""
    examples = "of fields, see workers/recipes/ for examples"
    raw = read_mapping(path, "recipe", RecipeError, "a readable YAML file or a tier", examples)
    per_space = raw.pop("spaces", None) or {}
    fields: dict[str, Any] = {"name": path.stem, **raw, **per_space.get(space, {})}
    return fields


def checked_recipe(
    kind: type[AnyRecipe], fields: Mapping[str, Any], overrides: Mapping[str, Any], path: Path, task: str
) -> AnyRecipe:
    """The recipe of these fields, sections of `overrides` merged into theirs. Raises RecipeError, naming the file."""
    merged = {**fields}
    for key, value in overrides.items():
        section = merged.get(key)
        merged[key] = {**section, **value} if isinstance(value, dict) and isinstance(section, dict) else value
    try:
        recipe = kind.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise RecipeError(f"recipe {path}: {where}: {first['msg']}: see `{kind.__module__}` for the fields") from None
    if recipe.task != task:
        raise RecipeError(f"recipe {path}: is for task {recipe.task}, not {task}: choose a recipe for {task}")
    return recipe
