"""Carrying out what was decided of a candidate. What a kill left undone is done by whoever writes next."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from orchestrator.predictors.decisions import KEEP, RefreshRecord, read_records, write_record
from orchestrator.predictors.generations import drop_other_snapshots, pinned, place_of, publish, snapshot_of

GENERATION, REPLAYED = "generation", "replay"  # in a candidate's folder


def finish_promotion(folder: Path) -> None:
    """Make champion what was decided to become it. The caller holds the folder."""
    for record in unfinished(folder):
        _carry_out(folder, record)


def unfinished(folder: Path) -> list[RefreshRecord]:
    """What was decided and not carried out."""
    return [record for record in read_records(folder) if not record.done]


def _carry_out(folder: Path, record: RefreshRecord) -> None:
    """Every step may have been done before."""
    made, work = place_of(folder, record.number), folder / record.candidate
    if not made.exists():
        if not (work / GENERATION).exists():
            write_record(folder, replace(record, decision=KEEP, reason="the candidate was lost", done=True))
            return
        (work / GENERATION).rename(made)
    if (work / REPLAYED).exists() and not snapshot_of(made).exists():
        snapshot_of(made).parent.mkdir(exist_ok=True)
        (work / REPLAYED).rename(snapshot_of(made))
    if pinned(folder) is None:
        publish(made)
        drop_other_snapshots(made)
    if (held := pinned(folder)) is not None:  # meanwhile, perhaps
        publish(place_of(folder, held))
    write_record(folder, replace(record, done=True))
    shutil.rmtree(work, ignore_errors=True)
