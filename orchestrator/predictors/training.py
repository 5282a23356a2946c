"""Train a new generation of the predictor on the labels of one store version, as a Ray Train run."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import (
    SHIPPED,
    TRAINING,
    drop_other_checkpoints,
    drop_other_snapshots,
    next_generation,
    pinned_number,
    publish,
    snapshot_folder,
    write_lock,
)
from orchestrator.predictors.holdout import describe_generation, hold_out_report, split_hold_out
from orchestrator.predictors.label_sets import build_label_sets
from orchestrator.predictors.promotion import finish_promotions
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import write_snapshot
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.train_job import ProgressCallback, ProgressReport, ResourceRequest, run_train_job
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import absolute_uri
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata
from predictor.models import get_model
from workers.execution.threads import use_cores

if TYPE_CHECKING:
    from predictor import Predictor
    from predictor.networks.fitting import Checkpointer


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train a generation on and with.

    version: of the store's labels. workers: processes that share each batch. gpus, cpus: per worker; 0 CPUs: all cores.
    base: `SHIPPED` or the folder of a generation to extend instead of training from nothing; empty for none.
    """

    store: str
    version: int
    model: str
    seed: int
    workers: int
    gpus: float
    cpus: float = 0.0
    base: str = ""

    @property
    def name(self) -> str:
        """Name of the checkpoint folder, equal for equal requests, so that a killed training is resumed."""
        values = {name: value for name, value in asdict(self).items() if name != "base" or value}  # as without it
        fields = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return hashlib.sha256(f"Training({fields})".encode()).hexdigest()[:12]


def train_predictor(request: TrainingRequest, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
    """Train a generation in `folder`, which all nodes must reach, and publish it unless another one is pinned.

    Returns the generation's folder and metadata. A training that was killed resumes from its last epoch if the store
    has no newer labels.

    Raises ConfigError if there are no labels or another training writes to the folder, and
    ray.train.TrainingFailedError if restarts do not help.
    """
    get_model(request.model)
    if not len(DeltaLabelStore(request.store).labels(version=request.version)):
        raise ConfigError(f"--store {request.store}: has no labels: make some with `orchestrator label` or `import`")
    request, folder = replace(request, store=absolute_uri(request.store)), folder.absolute()
    with write_lock(folder):
        finish_promotions(folder)
        with ray_session():
            return train_generation(request, folder, show)


def train_generation(request: TrainingRequest, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
    """See `train_predictor`. The caller holds the folder's write lock and has a Ray session."""
    from predictor.generation import read_metadata

    checkpoints, generation = folder / TRAINING / request.name, next_generation(folder)
    drop_other_checkpoints(checkpoints)
    config = {"request": asdict(request), "checkpoints": str(checkpoints), "generation": str(generation)}
    resources = ResourceRequest(request.workers, request.gpus, request.cpus)
    run_train_job(_train, config, resources, checkpoints / "ray", ProgressReport(checkpoints, show))
    if pinned_number(folder) is None:
        publish(generation)
        drop_other_snapshots(generation)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return generation, read_metadata(generation)


def _train(config: dict[str, Any]) -> None:
    """Train as one worker of the group; the worker of rank 0 writes the generation."""
    from ray.train import get_context

    from predictor.networks.checkpoints import FolderCheckpointer

    request, generation = TrainingRequest(**config["request"]), Path(config["generation"])
    use_cores(config["cpus"])
    snapshot = Snapshot.empty().updated_to(DeltaLabelStore(request.store), request.version)
    predictor, held_out = fit_predictor(request, snapshot, FolderCheckpointer(Path(config["checkpoints"])))
    if get_context().get_world_rank() == 0 and not generation.exists():
        save_generation(generation, predictor, held_out, snapshot)


def fit_predictor(
    request: TrainingRequest, snapshot: Snapshot, checkpointer: Checkpointer
) -> tuple[Predictor, list[LabelSet]]:
    """Return a predictor that was trained on, or extended by, all labels except the hold-out, and the hold-out."""
    from orchestrator.predictors.labelled_networks import record_networks
    from predictor import Predictor
    from predictor.reference_graphs import reference_graphs
    from predictor.widening import fit_widening

    sets, without_graph = build_label_sets(snapshot)
    splits = {identity: split_hold_out(labels) for identity, labels in sets.items()}
    training_sets = {identity: training for identity, (training, _) in splits.items() if len(training)}
    held_out, learned = [held_out for _, held_out in splits.values() if len(held_out)], list(training_sets.values())
    metadata = describe_generation(request.model, request.store, snapshot.version, training_sets, without_graph)
    metadata = record_networks(metadata, DeltaLabelStore(request.store))
    if request.base:
        base = Predictor.load() if request.base == SHIPPED else Predictor.load(request.base)
        return base.extend(learned, metadata), held_out
    new_model = partial(get_model(request.model), request.seed)
    model = new_model()
    model.fit(learned, checkpointer)
    references, widening = reference_graphs(learned), fit_widening(new_model, learned, request.seed)
    return Predictor(model, metadata, references=references, widening=widening), held_out


def save_generation(generation: Path, predictor: Predictor, held_out: list[LabelSet], snapshot: Snapshot) -> None:
    """Score a predictor on the hold-out, then write its snapshot and, last, the generation."""
    predictor.metadata = replace(predictor.metadata, hold_out=hold_out_report(predictor, held_out))
    write_snapshot(snapshot_folder(generation), snapshot)
    predictor.save(generation)
