"""Labels that a store has of the set that a request belongs to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.spaces import Space, get_space


@dataclass(frozen=True, slots=True)
class LabelledArchitecture:
    """An architecture and its label. value: mean over seeds. seconds: of one label, mean over seeds."""

    architecture: Architecture
    value: float
    seconds: float


def labelled_architectures(store: LabelStore, request: LabelRequest) -> list[LabelledArchitecture]:
    """Return what the store has of the request's space, task, data, fidelity and recipe, the oldest first.

    Architectures of an earlier declaration of the space are left out.
    """
    space = get_space(request.architecture.space)
    table = store.labels(space=space.name, task=request.task, fidelity=request.fidelity)
    columns = ["architecture", "genotype", "fingerprint", "recipe_hash", "value", "seconds", "finished"]
    wanted, by_id = (request.fingerprint, request.recipe.hash), dict[str, list[dict[str, Any]]]()
    for row in sorted(table.select(columns).to_pylist(), key=lambda row: (row["finished"], row["architecture"])):
        if (row["fingerprint"], row["recipe_hash"]) == wanted:
            by_id.setdefault(row["architecture"], []).append(row)
    found = []
    for identifier, rows in by_id.items():
        architecture = architecture_of(space, rows[0]["genotype"])
        if architecture is not None and architecture.id == identifier:
            value, seconds = fmean(row["value"] for row in rows), fmean(seconds_of(row) for row in rows)
            found.append(LabelledArchitecture(architecture, value, seconds))
    return found


def failed_before(request: LabelRequest, failed: Collection[str]) -> Callable[[Architecture], bool]:
    """Return a function that says whether the label of an architecture failed permanently.

    failed: keys, see `LabelStore.finally_failed`.
    """
    return lambda architecture: bool(failed) and replace(request, architecture=architecture).key in failed


def architecture_of(space: Space, genotype: str) -> Architecture | None:
    """Return the architecture of a stored genotype; None if the space does not have it any more."""
    try:
        return space.parse_json(genotype)
    except AIOPError:
        return None


def seconds_of(row: dict[str, Any]) -> float:
    """Return the seconds of a stored label, over all phases."""
    return sum(float(seconds) for _, seconds in row["seconds"])
