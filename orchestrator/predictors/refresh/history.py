"""What a folder of generations tells of its past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.predictors.decisions import PROMOTE, RefreshRecord, read_records
from orchestrator.predictors.generations import champion, generation_numbers, place_of, pooled_score
from predictor.generation import GenerationError, read_metadata
from predictor.metadata import HoldOutScores

_NO_RECORD: dict[str, Any] = {"from": None, "suspects": {}, "figures": None, "seconds": None}


def history(folder: Path, used: int | None, held: int | None) -> list[dict[str, Any]]:
    """A row a generation or refused candidate, by number. decision: train, promote or keep (that is, refused)."""
    records = {record.number: record for record in read_records(folder)}
    rows = []
    for number in sorted({*records, *generation_numbers(folder)}):
        row = _of_record(records[number]) if number in records else _of_generation(place_of(folder, number))
        rows.append({"generation": number, **row, "champion": number == used, "pinned": number == held})
    return rows


def compare(one: Path, other: Path) -> list[dict[str, Any]]:
    """A row a set, and one for all. Raises GenerationError."""
    reports = [read_metadata(path).hold_out for path in (one, other)]
    names = list(dict.fromkeys(row.set_name for report in reports for row in report))
    return [_compared(name, one, other, reports) for name in [*names, "all"]]


def _compared(name: str, one: Path, other: Path, reports: list[tuple[HoldOutScores, ...]]) -> dict[str, Any]:
    first, second = ([row for row in report if name in ("all", row.set_name)] for report in reports)
    was, now = pooled_score(first), pooled_score(second)
    return {
        "set": name,
        f"tested {int(one.name)}": sum(row.tested for row in first),
        f"tested {int(other.name)}": sum(row.tested for row in second),
        f"spearman {int(one.name)}": was,
        f"spearman {int(other.name)}": now,
        "gain": None if was is None or now is None else now - was,
    }


def predecessor(folder: Path) -> int:
    """The generation that was champion before the present one. Raises ConfigError where there was none."""
    now = champion(folder)
    records = {record.number: record for record in read_records(folder)}
    if now in records and records[now].decision == PROMOTE:
        return records[now].champion
    earlier = [n for n in generation_numbers(folder) if now is not None and n < now]
    if not earlier:
        raise ConfigError(f"--out {folder}: there is no generation before this one: pin another, or train one")
    return earlier[-1]


def hold_out_of(folder: Path, number: int) -> float | None:
    """A generation's pooled score; None where it was not tested or cannot be read."""
    try:
        return pooled_score(read_metadata(place_of(folder, number)).hold_out)
    except GenerationError:
        return None


def last_decision(folder: Path) -> RefreshRecord | None:
    """The newest."""
    records = read_records(folder)
    return records[-1] if records else None


def _of_record(record: RefreshRecord) -> dict[str, Any]:
    return {
        "made": record.made,
        "version": record.version,
        "labels": record.labels,
        "hold_out": pooled_score(record.hold_out),
        "decision": record.decision,
        "reason": record.reason,
        "from": record.champion,
        "suspects": record.suspects,
        "figures": record.figures,
        "seconds": record.seconds,
    }


def _of_generation(place: Path) -> dict[str, Any]:
    """One that was trained, or that can be used no more."""
    try:
        metadata = read_metadata(place)
    except GenerationError as error:
        blank = dict.fromkeys(("made", "version", "labels", "hold_out"))
        return {**blank, "decision": "damaged", "reason": str(error), **_NO_RECORD}
    return {
        "made": metadata.made,
        "version": metadata.version,
        "labels": metadata.labels,
        "hold_out": pooled_score(metadata.hold_out),
        "decision": "train",
        "reason": None,
        **_NO_RECORD,
    }
