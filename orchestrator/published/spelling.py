"""Names in files of results that differ from known ones only in their spelling: their labels would not be compared."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.published.result import RejectedLine, Result
from orchestrator.store.base import LabelStore
from predictor.label_set import COSTS
from workers.messages.published_recipe import FIDELITY

_COMPARED = {"dataset": "data", "metric": "metric", "recipe": "recipe_name"}  # columns of files, and of the store
_CLOSE = 0.6  # of difflib's ratio: names this similar are offered


@dataclass(frozen=True, slots=True)
class CheckedNames:
    """The results with names that may be meant, those that are refused, and what the user should know."""

    results: list[Result]
    rejected: list[RejectedLine]
    notes: list[str]


def check_names(results: Sequence[Result], store: LabelStore, tasks: Collection[str]) -> CheckedNames:
    """Refuse tasks that differ from a known one only in spelling; note other new tasks and likely variants of names.

    tasks: of this program. Those in the store are known too.
    """
    stored = store.labels(fidelity=FIDELITY).select(["task", *_COMPARED.values()])
    own = {*tasks, *COSTS}
    known = own | {str(task) for task in stored.column("task").unique().to_pylist()}
    spelled = {_plain(task): task for task in sorted(known, key=lambda task: task in own)}
    kept, rejected, new = list[Result](), list[RejectedLine](), dict[str, None]()
    for result in results:
        meant = spelled.get(_plain(result.task))
        if result.task in known or meant is None:
            kept.append(result)
            if result.task not in known:
                new[result.task] = None
        else:
            rejected.append(RejectedLine(result.line, result.model, f"task {result.task}: is spelled {meant}"))
    notes = [_new_task(task, known) for task in new]
    for column, stored_column in _COMPARED.items():
        names = {str(name) for name in stored.column(stored_column).unique().to_pylist()}
        notes += _variants(column, names | {getattr(result, column) for result in kept})
    return CheckedNames(kept, rejected, notes)


def _plain(name: str) -> str:
    """Return a name without case and separators."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _new_task(task: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(task.casefold(), known, n=1, cutoff=_CLOSE)
    meant = f"; the nearest known one is {close[0]}" if close else ""
    return f"task {task} is new{meant}: known are {', '.join(sorted(known))}"


def _variants(column: str, names: Collection[str]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[_plain(name)].append(name)
    return [
        f"{column} {' and '.join(group)} differ only in spelling: their labels are not ranked together"
        for group in groups.values()
        if len(group) > 1
    ]
