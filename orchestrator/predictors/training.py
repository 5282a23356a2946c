"""A predictor trained as a Ray Train job, on the labels of one version of a store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import (
    TRAINING,
    drop_other_checkpoints,
    drop_other_snapshots,
    next_generation,
    pinned,
    publish,
    snapshot_of,
    writing,
)
from orchestrator.predictors.label_sets import Kind, label_sets_of
from orchestrator.predictors.promotion import finish_promotion
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import write_snapshot
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.train_job import ProgressCallback, ResourceRequest, run_train_job
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import located
from predictor.evaluation.metrics import scores
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata, HoldOutScores, LearnedSet
from predictor.models import get_model
from workers.execution.threads import compute_on

if TYPE_CHECKING:
    from predictor import Predictor

FEWEST_TESTED = 5  # labels of a set, below which its figures say nothing


@dataclass(frozen=True, slots=True)
class Training:
    """What a generation is to be made of. version: of the store's labels. workers: processes that share each batch."""

    store: str
    version: int
    model: str
    seed: int
    workers: int
    gpus: float
    cpus: float = 0.0  # a worker; 0 for all there are

    @property
    def name(self) -> str:
        """Of the training, so that one that was killed is found again."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def train_predictor(training: Training, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
    """The new generation in `folder`, which all nodes must reach, and its JSON; `latest` points to it, if none is
    pinned.

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
    training, folder = replace(training, store=located(training.store)), folder.absolute()
    with writing(folder):
        finish_promotion(folder)
        with ray_session():
            return train_alone(training, folder, show)


def train_alone(training: Training, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
    """The same for a caller that holds the folder, in its Ray session."""
    from predictor.generation import read_metadata

    checkpointer, made = folder / TRAINING / training.name, next_generation(folder)
    drop_other_checkpoints(checkpointer)
    config = {"training": asdict(training), "journal": str(checkpointer), "made": str(made)}
    run_train_job(_learn, config, ResourceRequest(training.workers, training.gpus, training.cpus), checkpointer, show)
    if pinned(folder) is None:
        publish(made)
        drop_other_snapshots(made)
    shutil.rmtree(checkpointer, ignore_errors=True)
    return made, read_metadata(made)


def _learn(config: dict[str, Any]) -> None:
    """One worker."""
    from ray.train import get_context

    from predictor.networks.checkpoints import FolderCheckpointer

    training, made = Training(**config["training"]), Path(config["made"])
    compute_on(config["cpus"])
    snapshot = Snapshot.nothing().grown(DeltaLabelStore(training.store), training.version)
    predictor, tested = fit_and_test(training, snapshot, FolderCheckpointer(Path(config["journal"])))
    if get_context().get_world_rank() == 0 and not made.exists():
        predictor.metadata = replace(predictor.metadata, hold_out=hold_out_report(predictor, tested))
        write_snapshot(snapshot_of(made), snapshot)
        predictor.save(made)


def fit_and_test(training: Training, snapshot: Snapshot, checkpointer: Any) -> tuple[Predictor, list[LabelSet]]:
    """A predictor that has seen all labels but those of the tested fold, and these."""
    from predictor import Predictor

    sets, left_out = label_sets_of(snapshot)
    parts = {kind: parted(one) for kind, one in sets.items()}
    learnt = {kind: part for kind, (part, _) in parts.items() if len(part)}
    model = get_model(training.model)(training.seed)
    model.fit(list(learnt.values()), checkpointer)
    metadata = training_metadata(training.model, training.store, snapshot.version, learnt, left_out)
    return Predictor(model, metadata), [part for _, part in parts.values() if len(part)]


def parted(one: LabelSet) -> tuple[LabelSet, LabelSet]:
    """What may be learnt of a set, and the fold by which predictors are compared."""
    from predictor.networks.examples import TESTED, folds

    mask = folds(one.architectures) == TESTED
    return one.take(~mask), one.take(mask)


def training_metadata(
    model: str, store: str, version: int, learned: Mapping[Kind, LabelSet], without_graph: int
) -> GenerationMetadata:
    """Return the metadata of a generation trained on `learned`, before its hold-out scores are known."""
    return GenerationMetadata(
        model=model,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        store=store,
        version=version,
        labels=sum(map(len, learned.values())),
        without_graph=without_graph,
        sets=tuple(
            LearnedSet(name=s.name, task=s.task, data=s.data, space=s.space, labels=len(s), kind=kind)
            for kind, s in learned.items()
        ),
    )


def hold_out_report(predictor: Predictor, tested: list[LabelSet]) -> tuple[HoldOutScores, ...]:
    """A row a set with enough tested labels: how many, and the scores. A figure that does not exist is None."""
    known, rows = set(predictor.known), []
    for one in tested:
        if len(one) < FEWEST_TESTED or (one.task, one.data) not in known:
            continue
        found = scores(predictor.predict_set(one), one.values)
        rows.append(
            HoldOutScores(
                set_name=one.name,
                task=one.task,
                tested=len(one),
                mae=found.mae if np.isfinite(found.mae) else None,
                spearman=found.spearman,
                kendall=found.kendall,
                regret=found.regret,
                coverage=found.coverage if np.isfinite(found.coverage) else None,
            )
        )
    return tuple(rows)
