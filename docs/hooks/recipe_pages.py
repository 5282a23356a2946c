"""The page of all fields of a recipe, from its model, and of the recipes that come with the package."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from workers.messages.recipe import Recipe
from workers.messages.recipe_files import shipped_recipes
from workers.messages.shared_recipe import HeadRecipe, SharedRecipe, SupernetRecipe

PAGE = "reference/recipe-fields.md"
_INTRO = """# Recipe fields

A recipe is a YAML file with these fields, named by `--recipe FILE.yaml`. `--set FIELD=VALUE` overrides one.
[Published protocols](../howto/use-published-recipes.md) shows how they fit together.

"""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=recipes_markdown()))
    return files


def recipes_markdown() -> str:
    """Return tables of the fields of all kinds of recipes, and the names of those that come with the package."""
    parts = [_INTRO, _fields("All recipes", Recipe)]
    parts += [
        _fields("Fidelity `shared`, further fields", SharedRecipe, Recipe),
        _fields("Section `supernet`, further fields", SupernetRecipe, Recipe),
        _fields("Section `shared_head`, further fields", HeadRecipe, Recipe),
        "## Recipes of the package\n\n| fidelity | `TASK.TIER` |\n|---|---|\n"
        f"| `full` | {_names('')} |\n| `shared` | {_names('shared')} |\n| shared weights | {_names('supernet')} |\n",
    ]
    return "\n".join(parts)


def _names(section: str) -> str:
    return ", ".join(f"`{name}`" for name in shipped_recipes(section))


def _fields(title: str, model: type[BaseModel], without: type[BaseModel] | None = None) -> str:
    """Return a section with the fields of a model. without: leave out those that this one describes too."""
    rows = []
    for name, field in model.model_fields.items():
        known = without.model_fields.get(name) if without else None
        if known is not None and known.description == field.description:
            continue
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        rows.append(f"| `{name}` | {default} | {(field.description or '').replace('|', chr(92) + '|')} |")
    return f"## {title}\n\n| field | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _shown(default: Any) -> str:
    empty = default is None or (isinstance(default, str | dict | tuple) and not default)
    return "" if empty or isinstance(default, BaseModel) else f"`{default}`"
