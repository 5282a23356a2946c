"""The record of every candidate and the decision on it: one JSON file each, next to the generations."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from orchestrator.predictors.generations import DECISIONS
from orchestrator.predictors.verdict import GateFigures, Verdict
from predictor.atomic_write import replace_file
from predictor.metadata import HoldOutScores
from predictor.text_files import parse_json


def _readable_or_none(figures: Any, validate: ValidatorFunctionWrapHandler) -> GateFigures | None:
    """Figures are only displayed: a record with incomplete figures must not be lost, because a promotion may depend
    on it."""
    try:
        validated: GateFigures | None = validate(figures)
    except ValidationError:
        return None
    return validated


# An alias is the key in the file, where it differs from the name here: files written before must stay readable.
@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRecord:
    """One candidate and what was decided.

    number: of the candidate's generation, also if it was refused. champion: number of the generation it was compared
    with. made: time of the decision, ISO 8601. store, version: where the labels came from. new_labels: their number.
    outliers: by label set, architectures whose new labels are outliers to the champion. hold_out: the candidate's
    scores. seconds: duration of the refresh. candidate: its folder, relative to the folder of generations. done: False
    until a promotion has been carried out.
    """

    number: int
    champion: int
    verdict: Annotated[Verdict, Field(alias="decision")]
    reason: str = ""
    made: str = ""
    store: str
    version: int
    new_labels: Annotated[int, Field(alias="labels")] = 0
    outliers: Annotated[dict[str, list[str]], Field(alias="suspects")] = field(default_factory=dict)
    figures: Annotated[GateFigures | None, WrapValidator(_readable_or_none)] = None
    hold_out: tuple[HoldOutScores, ...] = ()
    seconds: float = 0.0
    candidate: str
    done: bool = True


_RECORD = TypeAdapter(RefreshRecord)
_FIGURES = TypeAdapter(GateFigures | None)


def write_record(folder: Path, record: RefreshRecord) -> None:
    """Write a record; it replaces an earlier one of the same number. Raises OSError."""
    path = folder / DECISIONS / f"{record.number:06d}.json"
    path.parent.mkdir(exist_ok=True)
    replace_file(path, json.dumps(_RECORD.dump_python(record, mode="json", by_alias=True), indent=1))


def read_records(folder: Path) -> list[RefreshRecord]:
    """Return the records by number. Unreadable files are skipped, because the generations are usable without them."""
    records = list[RefreshRecord]()
    for path in sorted((folder / DECISIONS).glob("*.json")):
        try:
            records.append(_RECORD.validate_python(parse_json(path.read_bytes())))
        except (OSError, ValueError):
            continue
    return records


def figures_to_json(figures: GateFigures | None) -> dict[str, Any] | None:
    """Return the figures as stored."""
    document: dict[str, Any] | None = _FIGURES.dump_python(figures, mode="json")
    return document
