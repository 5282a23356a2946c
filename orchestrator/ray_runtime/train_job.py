"""One Ray Train run on this cluster's cores and GPUs."""

from __future__ import annotations

import importlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.ray_runtime.session import cluster_cores

RESTARTS = 3  # of the whole group, each from the journal
ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What a run takes of the cluster. workers: processes that share each batch. gpus, cpus: a worker; 0 CPUs: all."""

    workers: int = 1
    gpus: float = 0.0
    cpus: float = 0.0


def run_train_job(
    loop: Callable[[dict[str, Any]], None],
    config: Mapping[str, Any],
    share: ResourceRequest,
    journal: Path,
    show: ProgressCallback,
) -> None:
    """Let every worker do `loop`; Ray must be initialised. loop: gets `config`, and as "cpus" the cores it has.

    show: gets stage, epoch and epochs of what is noted in the journal. Raises ray.train.TrainingFailedError where
    restarts do not help.
    """
    train: Any = importlib.import_module("ray.train")
    torch_trainer: Any = importlib.import_module("ray.train.torch").TorchTrainer
    cpus = share.cpus or max(1.0, cluster_cores() / share.workers)
    trainer = torch_trainer(
        loop,
        train_loop_config={**config, "cpus": cpus},
        scaling_config=train.ScalingConfig(
            num_workers=share.workers,
            use_gpu=share.gpus > 0,
            resources_per_worker={"CPU": cpus} | ({"GPU": share.gpus} if share.gpus else {}),
        ),
        # A name of its own: Ray Train would take a run of the same name as one to resume, from checkpoints of its own.
        run_config=train.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(journal.absolute() / "ray"),
            failure_config=train.FailureConfig(max_failures=RESTARTS),
        ),
    )
    with _watching(journal, show):
        trainer.fit()


@contextmanager
def _watching(journal: Path, show: ProgressCallback) -> Iterator[None]:
    """Tells how far a training is while its driver waits for it."""
    from predictor.networks.checkpoints import read_progress

    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            if told := read_progress(journal):
                show(str(told["stage"]), int(told["epoch"]), int(told["epochs"]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
