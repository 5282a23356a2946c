"""How reliable the labels of shipped recipes are on built-in data, measured ahead of time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from workers.messages.label import LabelRequest

FILE = Path(__file__).with_name("known_reliability.yaml")


class KnownReliability(BaseModel):
    """Agreement between the seeds of labels. recipe_hash, fingerprint: of what was measured; all else is unknown.

    spearman: mean rank correlation over pairs of seeds. deviation: standard deviation between the seeds of one
    architecture, after removing every seed's mean, in the metric of the task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    space: str
    data: str
    fingerprint: str
    recipe: str
    recipe_hash: str
    networks: int
    seeds: int
    spearman: float
    deviation: float


def known_reliability(request: LabelRequest) -> KnownReliability | None:
    """Return what was measured with the recipe, space and data of a label; None if nothing was."""
    asked = (request.task, request.architecture.space, request.fingerprint, request.recipe.hash)
    return next((row for row in _all() if (row.task, row.space, row.fingerprint, row.recipe_hash) == asked), None)


@cache
def _all() -> tuple[KnownReliability, ...]:
    rows: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(KnownReliability.model_validate(row) for row in rows)
