"""Shared weights trained by several workers: a Ray Train job."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from orchestrator.ray_runtime.session import cluster_cores
from workers.execution.threads import compute_on
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import ArtifactFolder
from workers.supernet.prepare import Preparation

_RESTARTS = 3  # of the whole group, each from the last checkpoint


def train_together(folder: Path, request: LabelRequest) -> None:
    """Train the shared weights of `request` into `folder`, which all nodes must reach. To be called by a Preparer.

    A group that loses a worker starts anew from the last checkpoint. Raises ray.train.TrainingFailedError when that
    does not help.
    """
    assert isinstance(request.recipe, SharedRecipe)
    recipe, checkpointer = request.recipe.supernet, folder / "ray-train"
    cpus = min(recipe.cpus, cluster_cores() / recipe.workers)
    trainer = TorchTrainer(
        _train,
        train_loop_config={
            "folder": str(folder),
            "request": request,
            "cpus": cpus,
            "preparer": ray.get_runtime_context().current_actor,
        },
        scaling_config=ScalingConfig(
            num_workers=recipe.workers,
            use_gpu=recipe.gpus > 0,
            resources_per_worker={"CPU": cpus} | ({"GPU": recipe.gpus} if recipe.gpus else {}),
        ),
        # A name of its own: Ray Train would take a run of the same name as one to resume, from checkpoints of its own.
        run_config=RunConfig(
            name=uuid.uuid4().hex, storage_path=str(checkpointer), failure_config=FailureConfig(max_failures=_RESTARTS)
        ),
    )
    trainer.fit()
    shutil.rmtree(checkpointer, ignore_errors=True)


def _train(config: dict[str, Any]) -> None:
    """One worker."""
    request: LabelRequest = config["request"]
    assert isinstance(request.recipe, SharedRecipe)
    compute_on(config["cpus"])
    folder, preparer = Path(config["folder"]), config["preparer"]
    preparation = Preparation(ArtifactFolder(folder.parent), request, request.recipe)
    rank = ray.train.get_context().get_world_rank()
    preparation.train_weights(folder, lambda step: preparer.note.remote(step), rank)
