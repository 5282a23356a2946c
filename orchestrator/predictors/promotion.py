"""Carry out a decided promotion. Every step can be repeated: the next writer finishes what a killed one left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from orchestrator.predictors.decisions import RefreshRecord, read_records, write_record
from orchestrator.predictors.generations import (
    drop_other_snapshots,
    generation_folder,
    pinned_number,
    publish,
    snapshot_folder,
)
from orchestrator.predictors.verdict import Verdict

# In a candidate's folder; the snapshot is stored in "replay".
CANDIDATE_GENERATION, CANDIDATE_SNAPSHOT = "generation", "replay"


def finish_promotions(folder: Path) -> None:
    """Carry out all promotions that were decided but not completed. The caller holds the folder's write lock."""
    for record in unfinished_promotions(folder):
        _carry_out(folder, record)


def unfinished_promotions(folder: Path) -> list[RefreshRecord]:
    """Return the records of promotions that were decided but not completed."""
    return [record for record in read_records(folder) if not record.done]


def _carry_out(folder: Path, record: RefreshRecord) -> None:
    """Move the candidate to the generations and publish it. Any of the steps may have been done before."""
    generation, candidate = generation_folder(folder, record.number), folder / record.candidate
    if not generation.exists():
        if not (candidate / CANDIDATE_GENERATION).exists():
            write_record(folder, replace(record, verdict=Verdict.KEEP, reason="the candidate was lost", done=True))
            return
        (candidate / CANDIDATE_GENERATION).rename(generation)
    if (candidate / CANDIDATE_SNAPSHOT).exists() and not snapshot_folder(generation).exists():
        snapshot_folder(generation).parent.mkdir(exist_ok=True)
        (candidate / CANDIDATE_SNAPSHOT).rename(snapshot_folder(generation))
    if pinned_number(folder) is None:
        publish(generation)
        drop_other_snapshots(generation)
    if (pinned := pinned_number(folder)) is not None:  # it may have been pinned since the check above
        publish(generation_folder(folder, pinned))
    write_record(folder, replace(record, done=True))
    shutil.rmtree(candidate, ignore_errors=True)
