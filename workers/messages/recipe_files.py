"""Recipe files: those that come with the project by task and tier, and those of users."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from workers.errors import RecipeError, UnknownNameError
from workers.messages.openmmlab_config import fields_from_config
from workers.messages.recipe import Recipe
from workers.yaml_file import read_mapping

PIPELINE = 2  # of this code: each image is augmented separately, and images are upright

RecipeT = TypeVar("RecipeT", bound=Recipe)


def shipped_recipes(section: str = "") -> dict[str, Path]:
    """Return the files of the recipes that come with the project, by name. section: a subfolder."""
    folder = Path(str(resources.files("workers") / "recipes")) / section
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load recipe `which`, a tier such as `laptop` or a YAML file, for one task and space.

    Later fields replace earlier ones: the file's top level, its section `spaces: {SPACE: {...}}`, then `overrides`.

    Raises:
        UnknownNameError: no such tier for the task.
        RecipeError: the file is not a valid recipe.
    """
    path = recipe_file(which, task)
    fields = {"task": task} | recipe_fields(path, space)
    return checked_recipe(Recipe, fields, _with_fitting_average(fields, overrides or {}), path, task)


def _with_fitting_average(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a user's changes with a faster average of weights if the steps are too few for that of the recipe.

    It then takes a tenth of the training, as for shared recipes. One that the user chose is not replaced.
    """
    steps, ema = changes.get("steps"), fields.get("ema", Recipe.model_fields["ema"].default)
    if "ema" in changes or not isinstance(steps, int) or not isinstance(ema, int | float) or steps * (1 - ema) >= 1:
        return changes
    return {**changes, "ema": round(1 - 1 / max(1, steps // 10), 4)} if ema else changes


def recipe_file(which: str, task: str, section: str = "") -> Path:
    """Return the file of recipe `which`: a YAML file, or a tier, whose shipped file is TASK.TIER.yaml.

    Raises UnknownNameError for an unknown tier, RecipeError for a tier of another section.
    """
    if Path(which).suffix in {".yaml", ".yml"}:
        return Path(which)
    known = shipped_recipes(section)
    if f"{task}.{which}" not in known:
        tiers = [name.split(".", 1)[1] for name in known if name.startswith(f"{task}.")]
        if section == "shared" and f"{task}.{which}" in shipped_recipes():
            raise RecipeError(
                f"--recipe {which}: this tier trains from scratch: add --fidelity full, or choose {', '.join(tiers)}"
            )
        kind = f"{section} recipe" if section else "recipe"
        raise UnknownNameError(f"{kind} for task {task}", which, tiers)
    return known[f"{task}.{which}"]


def recipe_fields(path: Path, space: str) -> dict[str, Any]:
    """Return the fields of a recipe's file, with its section for `space` applied, unchecked.

    `from_config` names a configuration of mmdet whose fields the file's own ones replace. Raises RecipeError.
    """
    examples = "see workers/recipes/ for examples"
    raw = read_mapping(path, "recipe", RecipeError, "a readable YAML file or a tier", f"of fields, {examples}")
    for section in ("spaces", "head"):
        if not isinstance(raw.get(section) or {}, dict):
            raise RecipeError(f"recipe {path}: {section} must be a mapping of fields: {examples}")
    per_space = (raw.pop("spaces", None) or {}).get(space) or {}
    if not isinstance(per_space, dict):
        raise RecipeError(f"recipe {path}: spaces.{space} must be a mapping of fields: {examples}")
    source = raw.pop("from_config", None)
    read: dict[str, Any] = {} if source is None else fields_from_config(source, path)
    head = {**read.get("head", {}), **(raw.get("head") or {})}
    fields: dict[str, Any] = {"name": path.stem, **read, **raw, **({"head": head} if head else {})}
    fields.update(per_space)
    return fields


def merged_fields(fields: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields, replaced by those of `overrides`; in a section such as `head`, only the given ones."""
    merged = dict(fields)
    for key, value in overrides.items():
        section = merged.get(key)
        merged[key] = {**section, **value} if isinstance(value, dict) and isinstance(section, dict) else value
    return merged


def checked_recipe(
    kind: type[RecipeT], fields: Mapping[str, Any], overrides: Mapping[str, Any], path: Path, task: str
) -> RecipeT:
    """Return the recipe with `fields` and `overrides`; mappings such as `head` are merged. Raises RecipeError."""
    merged = merged_fields(fields, overrides)
    if "pipeline" in overrides:
        raise RecipeError(f"recipe {path}: pipeline is the version of this code: leave it out")
    merged["pipeline"] = PIPELINE
    if "steps" in overrides and "epochs" not in overrides:
        merged.pop("epochs", None)
    try:
        recipe = kind.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise RecipeError(f"recipe {path}: {where}: {first['msg']}: see `{kind.__module__}` for the fields") from None
    if recipe.task != task:
        raise RecipeError(f"recipe {path}: is for task {recipe.task}, not {task}: choose a recipe for {task}")
    return recipe
