"""A predictor trained as a Ray Train job, on the labels of one version of a store."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from orchestrator.errors import ConfigError
from orchestrator.generations import next_generation, publish
from orchestrator.label_sets import read_label_sets
from orchestrator.ray_session import cluster_cores, ray_session
from orchestrator.store.delta import DeltaLabelStore
from predictor.evaluation.metrics import scores
from predictor.label_set import LabelSet
from predictor.models import get_model

if TYPE_CHECKING:
    from predictor import Predictor

_RESTARTS = 3  # of the whole group, each from the journal
_FEWEST_TESTED = 5  # labels of a set, below which its figures say nothing
_JOURNAL = "_training"
Showing = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Training:
    """What a generation is to be made of. version: of the store's labels. workers: processes that share each batch."""

    store: str
    version: int
    model: str
    seed: int
    workers: int
    gpus: float

    @property
    def name(self) -> str:
        """Of the training, so that one that was killed is found again."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def train_predictor(training: Training, folder: Path, show: Showing) -> tuple[Path, dict[str, Any]]:
    """The new generation in `folder`, which all nodes must reach, and its JSON; `latest` points to it.

    One that was killed goes on from its last epoch, as long as the store has no newer labels. show: gets stage, epoch
    and epochs.

    Raises ConfigError where there is nothing to learn from or another training writes to the folder, and
    ray.train.TrainingFailedError where restarts do not help.
    """
    get_model(training.model)
    if not len(DeltaLabelStore(training.store).labels(version=training.version)):
        raise ConfigError(
            f"--store {training.store}: it has no labels: make some with `orchestrator label` or `import`"
        )
    try:
        (folder / _JOURNAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror or error}: name a folder that can be written") from None
    try:
        with FileLock(folder / _JOURNAL / "lock", timeout=0), ray_session():
            return _train_alone(training, folder, show)
    except Timeout:
        raise ConfigError(f"--out {folder}: another training writes to it: wait for it, or name another") from None


def _train_alone(training: Training, folder: Path, show: Showing) -> tuple[Path, dict[str, Any]]:
    from predictor.generation import read_about

    journal, made = folder / _JOURNAL / training.name, next_generation(folder)
    for other in (folder / _JOURNAL).iterdir():  # of older versions of the store: nobody goes on with them
        if other.is_dir() and other != journal:
            shutil.rmtree(other, ignore_errors=True)
    with _watching(journal, show):
        _fit(training, journal, made)
    publish(made)
    shutil.rmtree(journal, ignore_errors=True)
    return made, read_about(made)


def _fit(training: Training, journal: Path, made: Path) -> None:
    train: Any = importlib.import_module("ray.train")
    torch_trainer: Any = importlib.import_module("ray.train.torch").TorchTrainer
    cpus = max(1.0, cluster_cores() / training.workers)
    trainer = torch_trainer(
        _learn,
        train_loop_config={"training": asdict(training), "journal": str(journal), "made": str(made), "cpus": cpus},
        scaling_config=train.ScalingConfig(
            num_workers=training.workers,
            use_gpu=training.gpus > 0,
            resources_per_worker={"CPU": cpus} | ({"GPU": training.gpus} if training.gpus else {}),
        ),
        # A name of its own: Ray Train would take a run of the same name as one to resume, from checkpoints of its own.
        run_config=train.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(journal.absolute() / "ray"),
            failure_config=train.FailureConfig(max_failures=_RESTARTS),
        ),
    )
    trainer.fit()


def _learn(config: dict[str, Any]) -> None:
    """One worker."""
    from ray.train import get_context

    from predictor.networks.journal import FolderJournal

    training = Training(**config["training"])
    sys.modules["torch"].set_num_threads(max(1, int(config["cpus"])))
    predictor, tested = learn_and_test(training, FolderJournal(Path(config["journal"])))
    if get_context().get_world_rank() == 0 and not Path(config["made"]).exists():
        predictor.about["hold_out"] = hold_out_report(predictor, tested)
        predictor.save(config["made"])


def learn_and_test(training: Training, journal: Any) -> tuple[Predictor, list[LabelSet]]:
    """A predictor that has seen all labels but those of the tested fold, and these."""
    from predictor import Predictor
    from predictor.networks.examples import TESTED, folds

    sets, left_out = read_label_sets(DeltaLabelStore(training.store), version=training.version)
    tested = [folds(one.architectures) == TESTED for one in sets]
    learnt = [one.take(~mask) for one, mask in zip(sets, tested, strict=True) if not mask.all()]
    model = get_model(training.model)(training.seed)
    model.learn(learnt, journal)
    about = {
        "store": training.store,
        "version": training.version,
        "labels": sum(map(len, learnt)),
        "without_graph": left_out,
        "sets": [{"name": s.name, "task": s.task, "data": s.data, "space": s.space, "labels": len(s)} for s in learnt],
    }
    return Predictor(model, about), [one.take(mask) for one, mask in zip(sets, tested, strict=True) if mask.any()]


def hold_out_report(predictor: Predictor, tested: list[LabelSet]) -> list[dict[str, Any]]:
    """A row a set with enough tested labels: how many, and the scores. A figure that does not exist is None."""
    known, rows = set(predictor.known), []
    for one in tested:
        if len(one) < _FEWEST_TESTED or (one.task, one.data) not in known:
            continue
        found = asdict(scores(predictor.predict_set(one), one.values))
        figures = {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
        rows.append({"set": one.name, "task": one.task, "tested": len(one)} | figures)
    return rows


@contextmanager
def _watching(journal: Path, show: Showing) -> Iterator[None]:
    """Tells how far a training is while its driver waits for it."""
    from predictor.networks.journal import read_progress

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
