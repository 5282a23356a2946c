"""Lessons in the calling process, without Ray: seconds less a refresh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from orchestrator.predictors.generations import next_generation, publish, replay_of
from orchestrator.predictors.refresh.candidate import make_candidate
from orchestrator.predictors.refresh.job import Lesson
from orchestrator.predictors.refresh.run import Means, refresh
from orchestrator.predictors.snapshot import Replay
from orchestrator.predictors.snapshot_file import write_replay
from orchestrator.predictors.training import Training, hold_out_report, learn_and_test
from orchestrator.ray_runtime.train_job import Showing
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_about
from predictor.models.stacked import Stacked
from predictor.networks.fitting import Settings, Unwatched
from predictor.networks.journal import FolderJournal


def be_quick() -> None:
    """A few epochs are enough for tests."""
    Stacked.settings = Settings(2, 32, 4e-3, decays=True)
    Stacked.settings_more = Settings(2, 32, 1e-3, decays=True, most=64, from_known=True)


def first(store: str, version: int, folder: Path, show: Showing) -> tuple[Path, dict[str, Any]]:
    """A generation from all labels."""
    replay, made = Replay.nothing().grown(DeltaLabelStore(store), version), next_generation(folder)
    training = Training(store, version, "default", 0, 1, 0.0)
    predictor, tested = learn_and_test(training, replay, Unwatched())
    predictor.about["hold_out"] = hold_out_report(predictor, tested)
    write_replay(replay_of(made), replay)
    predictor.save(made)
    publish(made)
    return made, read_about(made)


def more(lesson: Lesson, folder: Path, show: Showing) -> None:
    """A candidate."""
    make_candidate(lesson, folder, FolderJournal(folder))


MEANS = Means(first, more)


def work(place: str) -> object:
    """One refresh of PLACE/predictors by PLACE/labels."""
    torch.set_num_threads(1)
    be_quick()
    return refresh(f"{place}/labels", Path(place, "predictors"), MEANS, lambda *_: None, lambda _: None)
