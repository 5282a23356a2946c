"""Recipes: which fields are hashed, how a space's section is applied, and the message of each mistake."""

from pathlib import Path

import pytest

from workers.data import Vocabulary
from workers.errors import RecipeError, UnknownNameError
from workers.messages.architecture import Architecture
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe, shipped_recipes
from workers.spaces import get_space, space_names
from workers.tasks import get_task

# The hash of Recipe(name="r", task="seg"). It must never change, because the keys of labels depend on it.
FROZEN_HASH = "aa91871afa1b494d"


@pytest.mark.parametrize("space", space_names())
@pytest.mark.parametrize("which", sorted(shipped_recipes()))
def test_shipped_recipes_load_for_every_space(which: str, space: str) -> None:
    task, tier = which.split(".", 1)
    assert load_recipe(tier, task, space).name == which


@pytest.mark.parametrize("which", sorted(shipped_recipes()))
def test_backbone_and_head_of_a_shipped_recipe_can_be_built(which: str) -> None:
    task, tier = which.split(".", 1)
    recipe = load_recipe(tier, task, "nasbench201")
    space = get_space("nasbench201")
    backbone = space.build(next(space.sequence(0)), recipe.body)
    vocabulary = Vocabulary(("person", "horse", "sky"), 2, ("left_hip", "right_hip"))
    head = get_task(task).build_head(backbone.channels, backbone.strides, vocabulary, recipe.head)
    assert sum(weights.numel() for weights in head.parameters()) > 0


def test_a_spaces_section_and_overrides_apply_in_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: seg\nsteps: 300\nspaces: {a: {steps: 400, body: {cells: 2}}}\n")
    assert load_recipe(str(path), "seg", "b").steps == 300
    assert load_recipe(str(path), "seg", "a").steps == 400
    changed = load_recipe(str(path), "seg", "a", {"steps": 500, "body": {"width": 3}})
    assert (changed.steps, changed.body) == (500, {"cells": 2, "width": 3})


def test_only_fields_that_can_change_a_label_are_hashed() -> None:
    recipe = Recipe(name="r", task="seg")
    assert recipe.model_copy(update={"cpus": 4, "time_limit_s": 1.0}).hash == recipe.hash
    assert recipe.model_copy(update={"lr": 1e-3}).hash != recipe.hash
    assert Recipe(name="r", task="seg", lr=3e-3, body={}).hash == recipe.hash == FROZEN_HASH


@pytest.mark.parametrize(
    ("passes", "images", "trainings"),
    [
        (None, 10, (1, 3200)),
        (35, 1000, (1, 3200)),  # 4,375 steps see every image 35 times
        (35, 367, (2, 1600)),
        (35, 10, (4, 800)),  # the maximum
        (1e-9, 1000, (4, 800)),
    ],
)
def test_a_few_images_get_several_trainings(passes: float | None, images: int, trainings: tuple[int, int]) -> None:
    count, each = Recipe(name="r", task="seg", steps=3200, batch=8, passes=passes).trainings(images)
    assert (count, each.steps) == trainings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: cls\n", "is for task cls, not seg"),
        ("steps: 0\n", "steps: Input should be greater"),
        ("stepz: 3\n", "stepz"),
        ("input_size: [100, 100]\n", "multiples of 32"),
        ("steps: 50\n", "lower ema or raise steps"),
        ("- 1\n", "must be a mapping"),
        ("a: [\n", "not YAML"),
        ("lr: -1\n", "lr: Input should be greater than 0"),
        ("spaces: [a]\n", "spaces must be a mapping of fields"),
        ("spaces: {nasbench201: wide}\n", "spaces.nasbench201 must be a mapping of fields"),
        ("head: 3\n", "head must be a mapping of fields"),
        ("steps: 0x" + "f" * 300 + "\n", "more than 64 bits"),
    ],
)
def test_an_invalid_recipe_is_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), "seg", "nasbench201")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_tier_names_the_known_tiers() -> None:
    with pytest.raises(UnknownNameError, match="laptop"):
        load_recipe("mainframe", "seg", "nasbench201")
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe("/nowhere/r.yaml", "seg", "nasbench201")


def test_keys_are_stable_and_differ_between_requests() -> None:
    def request(**changes: object) -> LabelRequest:
        fields: dict[str, object] = {
            "architecture": Architecture.of("nasbench201", {"ops": ["none"] * 6}),
            "task": "seg",
            "data": "shapes",
            "fingerprint": "f",
            "fidelity": "full",
            "recipe": Recipe(name="r", task="seg"),
            "seed": 0,
        }
        return LabelRequest(**(fields | changes))  # type: ignore[arg-type]

    base = request()
    assert base.key == request(data="shapes:").key  # the content counts, not the spelling
    changed = [request(seed=1), request(task="cls"), request(fingerprint="g"), request(fidelity="proxy")]
    assert len({base.key, *(r.key for r in changed)}) == 5
    assert LabelJob(base, "c").attempt_id == f"{base.key}-c-1"
