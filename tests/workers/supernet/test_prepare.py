"""Shared weights as an artifact: killed half-way, the next try ends where an undisturbed one does."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from workers.artifacts import ArtifactFolder
from workers.supernet.prepare import supernet_weights
from workers.supernet.recipe import SupernetRecipe

RECIPE = SupernetRecipe(
    name="tiny",
    task="cls",
    input_size=(32, 32),
    steps=12,
    batch=8,
    ema=0.8,
    sampled=1,
    save_every=4,
    body={"channels": [8, 8, 8, 8], "reduction": "pool"},
)
DATA = "shapes:train=24,held_out=6"


def prepare(folder: Path, die_at: int = 0) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)

    def report(step: int, loss: float) -> None:
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return supernet_weights(ArtifactFolder(folder), "nasbench201", DATA, RECIPE, 0, report).state_dict()


def test_killed_and_resumed_gives_the_weights_of_an_undisturbed_run(tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole")
    for die_at in (6, 11):  # after the first and after the second checkpoint
        victim = multiprocessing.get_context("spawn").Process(target=prepare, args=(tmp_path / "killed", die_at))
        victim.start()
        victim.join(120)
        assert victim.exitcode == -signal.SIGKILL
        (partial,) = (tmp_path / "killed").glob("*.partial")
        assert [p.name for p in partial.iterdir()] == [f"step-{die_at // 4 * 4:08d}.safetensors"]
    resumed = prepare(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    again = prepare(tmp_path / "killed", die_at=1)  # would die if it trained again
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    (made,) = (p for p in (tmp_path / "killed").iterdir() if p.is_dir())
    assert {p.name for p in made.iterdir()} == {"weights.safetensors", "manifest.json"}


def test_another_recipe_or_seed_is_another_artifact(tmp_path: Path) -> None:
    artifacts = ArtifactFolder(tmp_path)
    for recipe, seed in ((RECIPE, 0), (RECIPE, 1), (RECIPE.model_copy(update={"lr": 1e-3}), 0)):
        supernet_weights(artifacts, "nasbench201", DATA, recipe, seed)
    same = RECIPE.model_copy(update={"save_every": 6})
    supernet_weights(artifacts, "nasbench201", DATA, same, 0)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 3


@pytest.mark.parametrize("field", ["cpus", "save_every", "cache_mb"])
def test_what_cannot_change_weights_is_not_hashed(field: str) -> None:
    assert RECIPE.model_copy(update={field: 3}).hash == RECIPE.hash
