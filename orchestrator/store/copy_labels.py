"""Labels made elsewhere join a store: rows are copied as they are, under the keys they have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.base import LabelStore
from orchestrator.store.keyed_table import strings
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS

_TOGETHER = 2000  # labels a commit, with the graphs of their networks


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a merge added to a store of the other one's `rows` labels, and how many of them it knew."""

    rows: int
    added: int
    known: int
    attempts: int


def copy_labels(
    source: LabelStore, target: LabelStore, show: Callable[[int, int], None] = lambda done, total: None
) -> CopyResult:
    """Copy labels, their networks' graphs and all attempts from `source` to `target`; what is there already stays.

    Again after an interruption it goes on. show: gets the number of labels copied and that of all to copy.
    """
    labels, added = source.labels(), 0
    fresh = labels.filter(~pc.field("key").isin(pa.array(sorted(target.keys()), pa.string())))
    for start in range(0, fresh.num_rows, _TOGETHER):
        some = fresh.slice(start, _TOGETHER)
        graphs = source.graphs(architectures=strings(some["architecture"]))
        added += target.adopt(some, graphs, ATTEMPTS.empty_table()).labels
        show(start + some.num_rows, fresh.num_rows)
    # Last, so that an attempt on record never lacks its label.
    tried = target.adopt(LABELS.empty_table(), GRAPHS.empty_table(), source.attempts())
    return CopyResult(labels.num_rows, added, labels.num_rows - added, tried.attempts)
