"""One refresh: find new labels, train a candidate, decide, carry out.

It may be killed at any moment: the champion stays usable, and the next refresh resumes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.predictors.decisions import RefreshRecord, write_record
from orchestrator.predictors.generations import (
    TRAINING,
    drop_other_checkpoints,
    generation_folder,
    next_generation,
    write_lock,
)
from orchestrator.predictors.promotion import CANDIDATE_GENERATION, finish_promotions, unfinished_promotions
from orchestrator.predictors.refresh.changes import NewLabels, NoChampion, NothingToDo, find_new_labels
from orchestrator.predictors.refresh.gate import decide
from orchestrator.predictors.refresh.job import RefreshJob, read_comparison
from orchestrator.predictors.verdict import Verdict
from orchestrator.ray_runtime.train_job import ProgressCallback
from orchestrator.store.layout import absolute_uri
from predictor.generation import read_generation, read_metadata
from predictor.metadata import GenerationMetadata


@dataclass(frozen=True, slots=True)
class Trainers:
    """How to train.

    train_first: gets store, version and the folder of generations; trains the first generation. train_candidate: gets
    the job and the candidate's folder; trains the candidate.
    """

    train_first: Callable[[str, int, Path, ProgressCallback], tuple[Path, GenerationMetadata]]
    train_candidate: Callable[[RefreshJob, Path, ProgressCallback], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """There was no champion; a first generation was trained."""

    generation: int
    metadata: GenerationMetadata


RefreshOutcome = NothingToDo | Trained | RefreshRecord


def refresh(
    store: str, folder: Path, trainers: Trainers, show: ProgressCallback, say: Callable[[str], None]
) -> RefreshOutcome:
    """Update the champion of `folder` on new labels of `store`, and promote the result if the gate allows it.

    Raises ConfigError if another process writes to the folder or the store is not the champion's, and what `trainers`
    raise.
    """
    started, store, folder = time.monotonic(), absolute_uri(store), folder.absolute()
    if isinstance(state := find_new_labels(folder, store), NothingToDo) and not unfinished_promotions(folder):
        return state
    with write_lock(folder):
        finish_promotions(folder)
        state = find_new_labels(folder, store)
        match state:
            case NothingToDo():
                return state
            case NoChampion(version):
                say(f"no champion in {folder} yet: the first generation is trained, from all labels")
                generation, metadata = trainers.train_first(store, version, folder, show)
                return Trained(int(generation.name), metadata)
            case NewLabels():
                return _update(state, store, folder, trainers, show, say, started)


def _update(
    state: NewLabels,
    store: str,
    folder: Path,
    trainers: Trainers,
    show: ProgressCallback,
    say: Callable[[str], None],
    started: float,
) -> RefreshRecord:
    """Train a candidate, decide and carry out the decision."""
    champion = generation_folder(folder, state.champion)
    read_generation(champion)  # a damaged champion is reported here, and not by a worker
    count = "all labels" if state.labels is None else f"{state.labels} new labels"
    say(f"{count} for generation {state.champion}")
    job = RefreshJob(store, state.until, str(champion))
    candidate = folder / TRAINING / job.name
    drop_other_checkpoints(candidate)
    trainers.train_candidate(job, candidate, show)
    record = _decided(job, candidate, folder, state.champion, started)
    write_record(folder, record)  # first, so that a kill in between loses no promotion
    finish_promotions(folder)
    shutil.rmtree(candidate, ignore_errors=True)
    return record


def _decided(job: RefreshJob, candidate: Path, folder: Path, champion: int, started: float) -> RefreshRecord:
    """Return the record of the decision on a trained candidate."""
    decision, metadata = decide(read_comparison(candidate)), read_metadata(candidate / CANDIDATE_GENERATION)
    return RefreshRecord(
        number=int(next_generation(folder).name),
        champion=champion,
        verdict=decision.verdict,
        reason=decision.reason,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        store=job.store,
        version=job.version,
        new_labels=metadata.refreshed.new_labels if metadata.refreshed else 0,
        outliers=metadata.outliers,
        figures=decision.figures,
        hold_out=metadata.hold_out,
        seconds=time.monotonic() - started,
        candidate=str(candidate.relative_to(folder)),
        done=decision.verdict is Verdict.KEEP,
    )
