"""Lessons as Ray Train runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.errors import RefreshError
from orchestrator.predictors.refresh.job import COMPARED, RefreshJob
from orchestrator.predictors.refresh.run import Trainers
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.train_job import ProgressCallback, ResourceRequest, run_train_job
from predictor.metadata import GenerationMetadata
from workers.execution.threads import compute_on

_MODEL, _SEED = "default", 0  # of a first generation


def on_ray(share: ResourceRequest) -> Trainers:
    """Each lesson in a session of its own: between two of them a watching refresh holds nothing."""

    def first(store: str, version: int, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
        from orchestrator.predictors.training import Training, train_alone

        training = Training(store, version, _MODEL, _SEED, share.workers, share.gpus, share.cpus)
        with _on_a_cluster():
            return train_alone(training, folder, show)

    def more(job: RefreshJob, folder: Path, show: ProgressCallback) -> None:
        if (folder / COMPARED).exists():  # one that was killed before it could decide
            return
        with _on_a_cluster():
            run_train_job(_learn, {"lesson": asdict(job), "folder": str(folder)}, share, folder, show)

    return Trainers(first, more)


@contextmanager
def _on_a_cluster() -> Iterator[None]:
    """A Ray session. Raises RefreshError, in one line, where restarts did not help."""
    with ray_session():
        train: Any = importlib.import_module("ray.train")
        try:
            yield
        except train.TrainingFailedError as error:
            causes = getattr(error, "worker_failures", {})
            text = " ".join(str(next(iter(causes.values()), error)).split())[-300:]
            raise RefreshError(f"refresh: training failed ({text}): the generation in use stays; try again") from error


def _learn(config: dict[str, Any]) -> None:
    """One worker."""
    from ray.train import get_context

    from orchestrator.predictors.refresh.candidate import make_candidate
    from predictor.networks.checkpoints import FolderCheckpointer

    compute_on(config["cpus"])
    folder = Path(config["folder"])
    writes = get_context().get_world_rank() == 0
    make_candidate(RefreshJob(**config["lesson"]), folder, FolderCheckpointer(folder), writes)
