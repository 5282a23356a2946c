"""Statistics of all labels of a store, computed on columns: a million rows as Python objects would take a minute."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.campaign.reliability import column_statistics

_PARTS = ("task", "space", "fidelity", "fingerprint", "metric", "recipe_hash")
_METRIC = _PARTS.index("metric")
TEXTS = (*_PARTS, "architecture")
COLUMNS = (*TEXTS, "seed", "value")


def group_statistics(labels: pa.Table) -> dict[str, dict[str, Any]]:
    """Return the statistics of labels that can be compared, by TASK/SPACE/FIDELITY/DATA/RECIPE, sorted.

    If there are several metrics of one such group, its name is TASK/SPACE/FIDELITY/DATA@METRIC/RECIPE.
    labels: rows of the store with `COLUMNS`; those in `TEXTS` may be dictionaries.
    """
    if not labels.num_rows:
        return {}
    coded = [_encoded(labels, name) for name in _PARTS]
    combined = np.ravel_multi_index([codes for codes, _ in coded], [len(names) for _, names in coded])
    _, first, member = np.unique(combined, return_index=True, return_inverse=True)
    parts = [[names[codes[row]] for codes, names in coded] for row in first]
    metrics = Counter(_without_metric(values) for values in parts)
    architectures, _ = _encoded(labels, "architecture")
    seeds, values = labels.column("seed").to_numpy(), labels.column("value").to_numpy()
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    groups = {
        _name(kind, metrics[_without_metric(kind)] > 1): column_statistics(architectures[r], seeds[r], values[r])
        for kind, r in zip(parts, rows, strict=True)
    }
    return dict(sorted(groups.items()))


def _encoded(labels: pa.Table, name: str) -> tuple[NDArray[np.int64], list[str]]:
    """A number for each row, and the text for each number."""
    column: Any = labels.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    encoded = column.unify_dictionaries().combine_chunks()
    return encoded.indices.to_numpy().astype(np.int64), [str(text) for text in encoded.dictionary.to_pylist()]


def _without_metric(parts: list[str]) -> tuple[str, ...]:
    return (*parts[:_METRIC], *parts[_METRIC + 1 :])


def _name(parts: list[str], with_metric: bool) -> str:
    metric = f"@{parts[_METRIC]}" if with_metric else ""
    return f"{'/'.join(parts[:_METRIC])}{metric}/{parts[-1]}"
