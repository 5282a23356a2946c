"""The pseudo-labels of AIO-P, scaled down by one factor: all artifacts and labels of every task, from one plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign
from tests.support.once_for_all_files import FILES
from workers.execution.evaluators import FidelityEvaluator
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob
from workers.messages.recipe import Recipe
from workers.messages.shared_recipe import SharedRecipe, load_shared_recipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.prepare import Preparation

FACTOR = 3000  # by which steps are divided; sides of images by its cube root
IMAGES = "shapes:train=32,held_out=12"


def scaled(recipe: Recipe) -> dict[str, Any]:
    """The changes that make a recipe's budget smaller by FACTOR, for a CPU."""
    steps = recipe.in_steps(150_000).steps
    sides = [max(64, round(side / FACTOR ** (1 / 3) / 32) * 32) for side in recipe.input_size]
    changes: dict[str, Any] = {"steps": max(4, steps // FACTOR), "epochs": None, "warmup_steps": 3}
    # Features of random weights are large, and there is no time for a long warm-up.
    changes |= {"batch": 4, "lr": recipe.lr * 4 / recipe.batch, "clip_norm": 5.0}
    if isinstance(recipe, SharedRecipe):
        head = {name: value for name, value in scaled(recipe.shared_head).items() if name != "input_size"}
        changes |= {"shared_head": head | {"calibration_images": 4}, "supernet": {"gpus": 0, "memory_mb": 0}}
        changes |= {"calibration_images": 8}
    return changes | {"input_size": sides, "cpus": 1, "gpus": 0, "memory_mb": 0}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("space", ["mobilenetv3", "proxylessnas", "resnet50"])
@pytest.mark.parametrize("task", ["det", "iseg", "seg", "pano", "pose"])
def test_all_artifacts_and_labels_of_aiop(task: str, space: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors, body = FILES[space]
    save_file(tensors(), tmp_path / "ofa.safetensors")
    changes = scaled(load_shared_recipe("aiop", task, space))
    changes["head"] = {"width": 32}
    changes["supernet"] |= {"pretrained": str(tmp_path / "ofa.safetensors")}
    store = str(tmp_path / "store")
    fields = {"task": task, "space": space, "data": IMAGES, "recipe": "aiop", "num": 2, "sample": "uniform"}
    plan = plan_campaign(CampaignConfig.checked(store=store, **fields, set=changes | {"body": body}))
    recipe = plan.requests[0].recipe
    assert isinstance(recipe, SharedRecipe)
    assert recipe.optimizer == ("adam" if task == "pose" else "sgd")
    preparation = Preparation(open_artifacts(store), plan.requests[0], recipe)
    preparation.make()
    assert not preparation.missing
    evaluator = FidelityEvaluator(EvaluatorOptions(("shared",), artifacts_uri=store))
    for request in plan.requests:
        label = evaluator(LabelJob(request, "c"))
        assert 0 <= label.value <= 1
        assert label.flops > 0
