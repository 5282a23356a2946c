"""Merge label sets that are too small to be source tasks on their own: those of one task and data set become one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from predictor.label_set import LabelSet
from predictor.models.base import MIN_SUPPORT

MERGED_PREFIX = "small sets of"  # of the names of merged sets, which are stored in generations
_MIN_TASK_LABELS = 30  # a set with fewer labels is merged with others


def merge_small_tasks(sources: Sequence[LabelSet]) -> list[LabelSet]:
    """Return the sets with enough labels, then one merged set for each task and data set of the smaller ones."""
    return [merge_group(sources, group) for group in group_indices(sources)]


def group_indices(sources: Sequence[LabelSet]) -> list[list[int]]:
    """Return the indices of the sets that form each source task. Sets with fewer than `MIN_SUPPORT` labels are omitted.

    Only sets that share a graph pool are merged.
    """
    small: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for index, source in enumerate(sources):
        if MIN_SUPPORT <= len(source) < _MIN_TASK_LABELS:
            small[source.task, source.data, id(source.pool)].append(index)
    large = [[index] for index, source in enumerate(sources) if len(source) >= _MIN_TASK_LABELS]
    return large + list(small.values())


def merge_group(sources: Sequence[LabelSet], group: Sequence[int]) -> LabelSet:
    """Return the sets with the indices of `group` as one set."""
    sets = [sources[index] for index in group]
    return sets[0] if len(sets[0]) >= _MIN_TASK_LABELS else _merge(sets)


def _merge(sets: Sequence[LabelSet]) -> LabelSet:
    """Concatenate sets. Labels are shifted to a common mean, in which recipes and families differ most."""
    first, joined = sets[0], LabelSet.join(sets)
    offsets = {one.name: float(one.values.mean() - joined.values.mean()) for one in sets}
    shifted = (one.values - offsets[one.name] for one in sets)
    return replace(
        joined,
        name=first.name if len(sets) == 1 else f"{MERGED_PREFIX} {first.task}/{first.data}",
        space=first.space if len(sets) == 1 else "",
        values=np.concatenate(list(shifted)),
        recipes=tuple(sorted({recipe for one in sets for recipe in one.recipes})),
        offsets=offsets,
    )
