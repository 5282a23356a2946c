"""What became of every candidate, a JSON file each beside the generations."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.predictors.generations import DECISIONS
from predictor.metadata import HoldOutScores

PROMOTE, KEEP = "promote", "keep"


@dataclass(frozen=True, slots=True)
class RefreshRecord:
    """One candidate. number: its generation's, whether it became one or not. champion: that which it challenged.

    version: of the store's labels that it learnt from. labels: how many were new. suspects: by set, architectures of
    new labels that the champion found hard to believe. done: False while a promotion is not carried out yet.
    """

    number: int
    champion: int
    decision: str
    reason: str
    made: str
    store: str
    version: int
    labels: int
    suspects: dict[str, list[str]]
    figures: dict[str, Any] | None
    hold_out: tuple[HoldOutScores, ...]
    seconds: float
    candidate: str
    done: bool


_RECORD = TypeAdapter(RefreshRecord)


def write_record(folder: Path, record: RefreshRecord) -> None:
    """Whole or not at all, in the place of an earlier one of the same number."""
    path = folder / DECISIONS / f"{record.number:06d}.json"
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}")
    with partial.open("w") as file:
        json.dump(_RECORD.dump_python(record, mode="json", by_alias=True), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_records(folder: Path) -> list[RefreshRecord]:
    """By number. What cannot be read is left out: it says nothing of the generations themselves."""
    found = list[RefreshRecord]()
    for path in sorted((folder / DECISIONS).glob("*.json")):
        try:
            found.append(_RECORD.validate_python(json.loads(path.read_text())))
        except (OSError, ValueError):
            continue
    return found
