"""The history of a folder of generations: trainings, promotions and refused candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.predictors.decisions import RefreshRecord, figures_to_json, read_records
from orchestrator.predictors.generations import (
    champion_number,
    generation_folder,
    generation_numbers,
    pooled_score,
)
from orchestrator.predictors.verdict import Verdict
from predictor.generation import GenerationError, read_metadata
from predictor.metadata import HoldOutScores

_NO_RECORD: dict[str, Any] = {"from": None, "suspects": {}, "figures": None, "seconds": None}


def history(folder: Path, champion: int | None, pinned: int | None) -> list[dict[str, Any]]:
    """Return one row per generation or refused candidate, by number. decision: train, promote, keep or damaged."""
    records = {record.number: record for record in read_records(folder)}
    rows = []
    for number in sorted({*records, *generation_numbers(folder)}):
        row = _record_row(records[number]) if number in records else _generation_row(generation_folder(folder, number))
        rows.append({"generation": number, **row, "champion": number == champion, "pinned": number == pinned})
    return rows


def compare(first: Path, second: Path) -> list[dict[str, Any]]:
    """Return hold-out scores of two generations: one row per label set, and one of all sets. Raises GenerationError."""
    reports = read_metadata(first).hold_out, read_metadata(second).hold_out
    names = list(dict.fromkeys(row.set_name for report in reports for row in report))
    rows = []
    for name in [*names, "all"]:
        in_first, in_second = ([row for row in report if name in ("all", row.set_name)] for report in reports)
        rows.append(_comparison_row(name, (int(first.name), in_first), (int(second.name), in_second)))
    return rows


def _comparison_row(
    name: str, first: tuple[int, list[HoldOutScores]], second: tuple[int, list[HoldOutScores]]
) -> dict[str, Any]:
    """Return one row. first, second: number of the generation, and its scores that count."""
    scores = pooled_score(first[1]), pooled_score(second[1])
    return {
        "set": name,
        f"tested {first[0]}": sum(row.tested for row in first[1]),
        f"tested {second[0]}": sum(row.tested for row in second[1]),
        f"spearman {first[0]}": scores[0],
        f"spearman {second[0]}": scores[1],
        "gain": None if scores[0] is None or scores[1] is None else scores[1] - scores[0],
    }


def previous_champion(folder: Path) -> int:
    """Return the number of the generation that was champion before the present one. Raises ConfigError if none was."""
    champion = champion_number(folder)
    records = {record.number: record for record in read_records(folder)}
    if champion in records and records[champion].verdict is Verdict.PROMOTE:
        return records[champion].champion
    earlier = [number for number in generation_numbers(folder) if champion is not None and number < champion]
    if not earlier:
        raise ConfigError(f"--predictors {folder}: there is no generation before this one: pin another, or train one")
    return earlier[-1]


def hold_out_score(folder: Path, number: int) -> float | None:
    """Return a generation's pooled score; None if it was not tested or cannot be read."""
    try:
        return pooled_score(read_metadata(generation_folder(folder, number)).hold_out)
    except GenerationError:
        return None


def last_decision(folder: Path) -> RefreshRecord | None:
    """Return the newest record; None if there is none."""
    records = read_records(folder)
    return records[-1] if records else None


def _record_row(record: RefreshRecord) -> dict[str, Any]:
    return {
        "made": record.made,
        "version": record.version,
        "labels": record.new_labels,
        "hold_out": pooled_score(record.hold_out),
        "decision": record.verdict.value,
        "reason": record.reason,
        "from": record.champion,
        "suspects": record.outliers,
        "figures": figures_to_json(record.figures),
        "seconds": record.seconds,
    }


def _generation_row(generation: Path) -> dict[str, Any]:
    """Return the row of a generation that was trained from scratch or is damaged."""
    try:
        metadata = read_metadata(generation)
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
