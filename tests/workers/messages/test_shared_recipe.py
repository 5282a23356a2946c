"""Recipes of fidelity shared: those that are shipped, and what their parts inherit from a full recipe."""

from pathlib import Path
from typing import Any

import pytest

from workers.errors import RecipeError
from workers.messages.recipe_files import shipped_recipes
from workers.messages.shared_recipe import load_shared_recipe


@pytest.mark.parametrize("space", ["mobilenetv3", "nasbench201"])
@pytest.mark.parametrize("which", sorted(shipped_recipes("shared")))
def test_shipped_recipes_load(which: str, space: str) -> None:
    task, tier = which.split(".", 1)
    recipe = load_shared_recipe(tier, task, space)
    assert recipe.task == recipe.shared_head.task == task
    assert f"{task}.{recipe.full}" in shipped_recipes()


def full_recipe(folder: Path, **fields: Any) -> str:
    path = folder / "full.yaml"
    path.write_text("\n".join(["task: seg", "steps: 9000", *(f"{name}: {value}" for name, value in fields.items())]))
    return str(path)


def test_a_shorter_training_replaces_what_fits_the_long_one_alone(tmp_path: Path) -> None:
    full = full_recipe(tmp_path, epochs=140, warmup_steps=1000, ema=0.9995, lr=0.02, batch=4)
    recipe = load_shared_recipe("laptop", "seg", "nasbench201", {"full": full, "steps": 200, "ema": 0.9})
    assert (recipe.epochs, recipe.steps, recipe.warmup_steps, recipe.ema) == (None, 200, 20, 0.9)
    head = recipe.shared_head
    assert (head.epochs, head.steps, head.warmup_steps, head.ema) == (None, 300, 30, 0.9667)
    assert (head.lr, head.batch) == (0.02, 4)


def test_a_part_may_have_its_own_budget(tmp_path: Path) -> None:
    full = full_recipe(tmp_path, epochs=140, warmup_steps=10, ema=0.99)
    own = {"epochs": 2.5, "lr": 0.1, "batch": 7, "warmup_steps": 250, "ema": 0.5}
    recipe = load_shared_recipe("laptop", "seg", "nasbench201", {"full": full, **own, "shared_head": own})
    for part in (recipe, recipe.shared_head):
        assert {name: getattr(part, name) for name in own} == own


def test_an_average_of_the_recipe_fits_a_length_that_the_user_chose() -> None:
    short = load_shared_recipe("laptop", "seg", "nasbench201", {"steps": 2})
    assert (short.steps, short.ema) == (2, 0.0)
    usual = load_shared_recipe("laptop", "seg", "nasbench201")
    longer = load_shared_recipe("laptop", "seg", "nasbench201", {"steps": usual.steps + 1})
    assert usual.ema == longer.ema > 0


def test_a_value_that_the_user_chose_is_an_error_where_it_does_not_fit() -> None:
    with pytest.raises(RecipeError, match=r"ema 0.999 is too slow for 300 steps"):
        load_shared_recipe("laptop", "seg", "nasbench201", {"shared_head": {"ema": 0.999}})
