"""Lessons in the calling process, without Ray: seconds less a refresh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from orchestrator.predictors.generations import next_generation, publish, snapshot_of
from orchestrator.predictors.refresh.candidate import make_candidate
from orchestrator.predictors.refresh.job import RefreshJob
from orchestrator.predictors.refresh.run import Trainers, refresh
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import write_snapshot
from orchestrator.predictors.training import Training, fit_and_test, hold_out_report
from orchestrator.ray_runtime.train_job import ProgressCallback
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_metadata
from predictor.metadata import GenerationMetadata
from predictor.models.transfer import TransferModel
from predictor.networks.checkpoints import FolderCheckpointer
from predictor.networks.fitting import NoCheckpointer, TrainingSettings


def be_quick() -> None:
    """A few epochs are enough for tests."""
    TransferModel.fit_settings = TrainingSettings(2, 32, 4e-3, cosine_decay=True)
    TransferModel.update_settings = TrainingSettings(2, 32, 1e-3, cosine_decay=True, epoch_graphs=64, warm_start=True)


def first(store: str, version: int, folder: Path, show: ProgressCallback) -> tuple[Path, GenerationMetadata]:
    """A generation from all labels."""
    snapshot, made = Snapshot.nothing().grown(DeltaLabelStore(store), version), next_generation(folder)
    training = Training(store, version, "default", 0, 1, 0.0)
    predictor, tested = fit_and_test(training, snapshot, NoCheckpointer())
    predictor.metadata = replace(predictor.metadata, hold_out=hold_out_report(predictor, tested))
    write_snapshot(snapshot_of(made), snapshot)
    predictor.save(made)
    publish(made)
    return made, read_metadata(made)


def more(job: RefreshJob, folder: Path, show: ProgressCallback) -> None:
    """A candidate."""
    make_candidate(job, folder, FolderCheckpointer(folder))


TRAINERS = Trainers(first, more)


def work(place: str) -> object:
    """One refresh of PLACE/predictors by PLACE/labels."""
    torch.set_num_threads(1)
    be_quick()
    return refresh(f"{place}/labels", Path(place, "predictors"), TRAINERS, lambda *_: None, lambda _: None)
