"""Trainings of a refresh in the calling process, without Ray, which saves seconds per refresh."""

from __future__ import annotations

from pathlib import Path

import torch

from orchestrator.predictors.generations import next_generation, publish
from orchestrator.predictors.refresh.candidate import make_candidate
from orchestrator.predictors.refresh.job import RefreshJob
from orchestrator.predictors.refresh.run import RefreshOutcome, Trainers, refresh
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.training import TrainingRequest, fit_predictor, save_generation
from orchestrator.ray_runtime.train_job import ProgressCallback
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_metadata
from predictor.metadata import GenerationMetadata
from predictor.models.transfer import TransferModel
from predictor.networks.checkpoints import FolderCheckpointer
from predictor.networks.fitting import NoCheckpointer, TrainingSettings


def use_few_epochs() -> None:
    """Train all transfer models of this process for two epochs."""
    TransferModel.fit_settings = TrainingSettings(2, 32, 4e-3, cosine_decay=True)
    TransferModel.update_settings = TrainingSettings(2, 32, 1e-3, cosine_decay=True, epoch_graphs=64, warm_start=True)


def train_first(store: str, version: int, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
    """Train a generation on all labels and publish it."""
    snapshot, generation = Snapshot.empty().updated_to(DeltaLabelStore(store), version), next_generation(folder)
    request = TrainingRequest(store, version, "default", 0, 1, 0.0)
    predictor, held_out = fit_predictor(request, snapshot, NoCheckpointer())
    save_generation(generation, predictor, held_out, snapshot)
    publish(generation)
    return generation, read_metadata(generation)


def train_candidate(job: RefreshJob, folder: Path, show: ProgressCallback) -> None:
    """Train a candidate in `folder`."""
    make_candidate(job, folder, FolderCheckpointer(folder))


TRAINERS = Trainers(train_first, train_candidate)


def refresh_in(folder: str) -> RefreshOutcome:
    """Refresh FOLDER/predictors on the labels of FOLDER/labels."""
    torch.set_num_threads(1)
    use_few_epochs()
    return refresh(f"{folder}/labels", Path(folder, "predictors"), TRAINERS, lambda *_: None, lambda _: None)
