"""Ray Train runs: the one place that launches a TorchTrainer."""

from __future__ import annotations

import importlib
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.ray_runtime.resources import cluster_cores

MAX_RESTARTS = 3  # of the whole group of workers, each from the last checkpoint
_POLL_S = 1.0
ProgressCallback = Callable[[str, int, int], None]  # gets stage, epoch and number of epochs


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What a run reserves. workers: processes that share each batch. gpus, cpus: per worker; 0 CPUs: all cores."""

    workers: int = 1
    gpus: float = 0.0
    cpus: float = 0.0


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Report progress while a run is under way: the newest entry in the folder `checkpoints`, if there is one."""

    checkpoints: Path
    show: ProgressCallback


def run_train_job(
    train_worker: Callable[[dict[str, Any]], None],
    config: Mapping[str, Any],
    resources: ResourceRequest,
    storage: Path,
    progress: ProgressReport | None = None,
    max_restarts: int = MAX_RESTARTS,
) -> None:
    """Run `train_worker` on every worker and wait for the end. Ray must be initialised.

    train_worker: gets `config`, with the number of its cores as "cpus". storage: folder for Ray's own files, which all
    nodes must reach; the caller removes it. max_restarts: how often the group starts again after it lost a worker.
    Raises ray.train.TrainingFailedError if the restarts do not help, KeyboardInterrupt after Ctrl-C.
    """
    train: Any = importlib.import_module("ray.train")
    torch_trainer: Any = importlib.import_module("ray.train.torch").TorchTrainer
    cpus = resources.cpus or max(1.0, cluster_cores() / resources.workers)
    trainer = torch_trainer(
        train_worker,
        train_loop_config={**config, "cpus": cpus},
        scaling_config=train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus > 0,
            resources_per_worker={"CPU": cpus} | ({"GPU": resources.gpus} if resources.gpus else {}),
        ),
        # A unique name: Ray Train would resume an earlier run of the same name from Ray's own checkpoints.
        run_config=train.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(storage.absolute()),
            failure_config=train.FailureConfig(max_failures=max_restarts),
        ),
    )
    with _reported(progress) if progress else nullcontext(), _own_ctrl_c():
        trainer.fit()


@contextmanager
def _own_ctrl_c() -> Iterator[None]:
    """Restore this process's handler of Ctrl-C, and raise KeyboardInterrupt for it.

    `fit` sets a handler, which stops the run and exits with code 0, and leaves it set after the run. The next Ctrl-C
    would then do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # here Ray sets none
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def _reported(progress: ProgressReport) -> Iterator[None]:
    """Report from a thread, because the driver waits for the run."""
    from predictor.networks.checkpoints import read_progress

    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(_POLL_S):
            if newest := read_progress(progress.checkpoints):
                progress.show(str(newest["stage"]), int(newest["epoch"]), int(newest["epochs"]))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
