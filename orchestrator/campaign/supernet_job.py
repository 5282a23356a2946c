"""Shared weights trained by several workers, as a Ray Train run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ray
import ray.train

from orchestrator.ray_runtime.resources import cluster_cores
from orchestrator.ray_runtime.train_job import ResourceRequest, run_train_job
from workers.execution.threads import use_cores
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import ArtifactFolder
from workers.supernet.prepare import Preparation


def train_distributed(folder: Path, request: LabelRequest) -> None:
    """Train the shared weights of `request` into `folder`, which all nodes must reach. Called by a Preparer actor.

    A group that loses a worker resumes from the last checkpoint. Raises ray.train.TrainingFailedError if that does not
    help.
    """
    assert isinstance(request.recipe, SharedRecipe)
    recipe, storage = request.recipe.supernet, folder / "ray-train"
    resources = ResourceRequest(recipe.workers, recipe.gpus, min(recipe.cpus, cluster_cores() / recipe.workers))
    preparer = ray.get_runtime_context().current_actor
    config = {"folder": str(folder), "request": request, "preparer": preparer}
    run_train_job(_train, config, resources, storage)
    shutil.rmtree(storage, ignore_errors=True)


def _train(config: dict[str, Any]) -> None:
    """Train as one worker of the group."""
    request: LabelRequest = config["request"]
    assert isinstance(request.recipe, SharedRecipe)
    use_cores(config["cpus"])
    folder, preparer = Path(config["folder"]), config["preparer"]
    preparation = Preparation(ArtifactFolder(folder.parent), request, request.recipe)
    rank = ray.train.get_context().get_world_rank()
    preparation.train_weights(folder, lambda step: preparer.record_step.remote(step), rank)
