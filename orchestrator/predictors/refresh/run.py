"""One refresh: look, learn, decide, carry out. Killed anywhere, the champion is whole and the next one goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.predictors.decisions import KEEP, PROMOTE, RefreshRecord, write_record
from orchestrator.predictors.generations import TRAINING, drop_other_checkpoints, next_generation, place_of, writing
from orchestrator.predictors.promotion import GENERATION, finish_promotion, unfinished
from orchestrator.predictors.refresh.changes import NewLabels, NoChampion, NothingToDo, look
from orchestrator.predictors.refresh.gate import GateDecision, Promote, decide
from orchestrator.predictors.refresh.job import RefreshJob, read_compared
from orchestrator.ray_runtime.train_job import ProgressCallback
from orchestrator.store.layout import located
from predictor.generation import read_generation, read_metadata
from predictor.metadata import GenerationMetadata


@dataclass(frozen=True, slots=True)
class Trainers:
    """How lessons are given. first: a generation in a folder from a store's version. more: a candidate in a folder."""

    first: Callable[[str, int, Path, ProgressCallback], tuple[Path, GenerationMetadata]]
    more: Callable[[RefreshJob, Path, ProgressCallback], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """There was no champion, now there is one."""

    generation: int
    metadata: GenerationMetadata


RefreshOutcome = NothingToDo | Trained | RefreshRecord


def refresh(
    store: str, folder: Path, means: Trainers, show: ProgressCallback, say: Callable[[str], None]
) -> RefreshOutcome:
    """Let the champion of `folder` learn what `store` has of new labels, if that does it good.

    Raises ConfigError where another one writes to the folder or the store is not the champion's, and what `means` do.
    """
    began, store, folder = time.monotonic(), located(store), folder.absolute()
    if isinstance(standing := look(folder, store), NothingToDo) and not unfinished(folder):
        return standing
    with writing(folder):
        finish_promotion(folder)
        standing = look(folder, store)
        match standing:
            case NothingToDo():
                return standing
            case NoChampion(version):
                say(f"no champion in {folder} yet: the first generation is trained, from all labels")
                made, metadata = means.first(store, version, folder, show)
                return Trained(int(made.name), metadata)
            case NewLabels(champion, _, until, labels):
                read_generation(place_of(folder, champion))  # a damaged one is told here, not by a worker
                count = "all labels" if labels is None else f"{labels} new labels"
                say(f"{count} for generation {champion}")
                job = RefreshJob(store, until, str(place_of(folder, champion)))
                work = folder / TRAINING / job.name
                drop_other_checkpoints(work)
                means.more(job, work, show)
                return _settle(job, work, folder, standing, began)


def _settle(job: RefreshJob, work: Path, folder: Path, standing: NewLabels, began: float) -> RefreshRecord:
    """Decide, note it, and only then do it."""
    decision, metadata = decide(read_compared(work)), read_metadata(work / GENERATION)
    record = RefreshRecord(
        number=int(next_generation(folder).name),
        champion=standing.champion,
        decision=PROMOTE if isinstance(decision, Promote) else KEEP,
        reason=decision.reason,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        store=job.store,
        version=job.version,
        labels=metadata.refreshed.new_labels if metadata.refreshed else 0,
        suspects=metadata.outliers,
        figures=_figures(decision),
        hold_out=metadata.hold_out,
        seconds=time.monotonic() - began,
        candidate=str(work.relative_to(folder)),
        done=not isinstance(decision, Promote),
    )
    write_record(folder, record)
    finish_promotion(folder)
    shutil.rmtree(work, ignore_errors=True)
    return record


def _figures(decision: GateDecision) -> dict[str, Any] | None:
    return None if decision.figures is None else asdict(decision.figures)
