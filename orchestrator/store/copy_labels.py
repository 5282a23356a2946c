"""Copy the labels of one store into another. Rows keep their keys and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.base import LabelStore
from orchestrator.store.keyed_table import distinct_strings
from orchestrator.store.schema import ATTEMPTS, GRAPHS, LABELS

_RESULT = ["key", "value", "metric"]
_LABELS_PER_COMMIT = 2000  # with the graphs of their networks


@dataclass(frozen=True, slots=True)
class CopyResult:
    """rows: labels of the source. added: of these, copied. known: of these, in the target before. attempts: copied.

    differing: known labels whose value or metric is another one in the target, where it stays.
    """

    rows: int
    added: int
    known: int
    attempts: int
    differing: int = field(default=0, compare=False)


def copy_labels(
    source: LabelStore, target: LabelStore, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> CopyResult:
    """Copy labels, their graphs and all attempts from `source` to `target`. Existing rows stay unchanged.

    Run it again after an interruption to continue. show: called with the numbers of labels copied and to copy.
    """
    labels, added = source.labels(), 0
    before = {row["key"]: row for row in target.labels().select(_RESULT).to_pylist()}
    rows = labels.select(_RESULT).to_pylist()
    differing = sum(str(before.get(row["key"], row)) != str(row) for row in rows)  # as text, since NaN equals nothing
    missing = labels.filter(~pc.field("key").isin(pa.array(sorted(before), pa.string())))
    for start in range(0, missing.num_rows, _LABELS_PER_COMMIT):
        batch = missing.slice(start, _LABELS_PER_COMMIT)
        graphs = source.graphs(architectures=distinct_strings(batch["architecture"]))
        added += target.append_rows(batch, graphs, ATTEMPTS.empty_table()).labels
        on_progress(start + batch.num_rows, missing.num_rows)
    # Attempts come last, so that an attempt always has its label.
    copied = target.append_rows(LABELS.empty_table(), GRAPHS.empty_table(), source.attempts())
    return CopyResult(labels.num_rows, added, labels.num_rows - added, copied.attempts, differing)
