"""Trainings of a refresh as Ray Train runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.errors import RefreshError
from orchestrator.predictors.refresh.job import COMPARISON, RefreshJob
from orchestrator.predictors.refresh.run import Trainers
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.train_job import ProgressCallback, ProgressReport, ResourceRequest, run_train_job
from predictor.metadata import GenerationMetadata
from workers.execution.threads import use_cores

_MODEL, _SEED = "default", 0  # of the first generation


def on_ray(resources: ResourceRequest) -> Trainers:
    """Return trainers that open a Ray session for each training: `refresh --watch` reserves nothing in between."""

    def train_first(store: str, version: int, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
        from orchestrator.predictors.training import TrainingRequest, train_generation

        request = TrainingRequest(store, version, _MODEL, _SEED, resources.workers, resources.gpus, resources.cpus)
        with _refresh_session():
            return train_generation(request, folder, show)

    def train_candidate(job: RefreshJob, folder: Path, show: ProgressCallback) -> None:
        if (folder / COMPARISON).exists():  # the refresh was killed after the training
            return
        config = {"job": asdict(job), "folder": str(folder)}
        with _refresh_session():
            run_train_job(_train, config, resources, folder / "ray", ProgressReport(folder, show))

    return Trainers(train_first, train_candidate)


@contextmanager
def _refresh_session() -> Iterator[None]:
    """Open a Ray session. Raises RefreshError if the training in it fails although it was restarted."""
    with ray_session():
        train: Any = importlib.import_module("ray.train")
        try:
            yield
        except train.TrainingFailedError as error:
            causes = getattr(error, "worker_failures", {})
            text = " ".join(str(next(iter(causes.values()), error)).split())[-300:]
            raise RefreshError(f"refresh: training failed ({text}): the generation in use stays; try again") from error


def _train(config: dict[str, Any]) -> None:
    """Train as one worker of the group; the worker of rank 0 writes the candidate."""
    from ray.train import get_context

    from orchestrator.predictors.refresh.candidate import make_candidate
    from predictor.networks.checkpoints import FolderCheckpointer

    use_cores(config["cpus"])
    folder = Path(config["folder"])
    writes = get_context().get_world_rank() == 0
    make_candidate(RefreshJob(**config["job"]), folder, FolderCheckpointer(folder), writes)
