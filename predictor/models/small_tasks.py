"""Sets of too few labels to be learnt from on their own: those of one task and data set are learnt as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from predictor.label_set import PROXIES, LabelSet
from predictor.models.base import MIN_SUPPORT

SMALL = "small sets of"  # how the name of several that are learnt as one begins
_FEWEST = 30  # labels of a set that is learnt from


def merge_small_tasks(sources: Sequence[LabelSet]) -> list[LabelSet]:
    """Sets with enough labels; those with fewer as one for each task and data set."""
    return [merge_group(sources, part) for part in group_indices(sources)]


def group_indices(sources: Sequence[LabelSet]) -> list[list[int]]:
    """Numbers of the sets that are learnt as one; sets of fewer than `MIN_SUPPORT` labels are in none."""
    small: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for number, known in enumerate(sources):
        if MIN_SUPPORT <= len(known) < _FEWEST:
            small[known.task, known.data, id(known.pool)].append(number)
    return [[number] for number, one in enumerate(sources) if len(one) >= _FEWEST] + list(small.values())


def merge_group(sources: Sequence[LabelSet], part: Sequence[int]) -> LabelSet:
    """The sets of these numbers as one."""
    sets = [sources[number] for number in part]
    return sets[0] if len(sets[0]) >= _FEWEST else _together(sets)


def _together(sets: Sequence[LabelSet]) -> LabelSet:
    """One set, its labels such as if all sets had the same mean: recipes and families differ in that first of all."""
    first, values = sets[0], np.concatenate([one.values for one in sets])
    parts = (one.values - one.values.mean() + values.mean() for one in sets)
    proxies = [np.full((len(one), len(PROXIES)), np.nan) if one.proxies is None else one.proxies for one in sets]
    return replace(
        first,
        name=first.name if len(sets) == 1 else f"{SMALL} {first.task}/{first.data}",
        space=first.space if len(sets) == 1 else "",
        architectures=np.concatenate([one.architectures for one in sets]),
        values=np.concatenate(list(parts)),
        graphs=np.concatenate([one.graphs for one in sets]),
        proxies=np.concatenate(proxies),
        recipes=tuple(sorted({recipe for one in sets for recipe in one.recipes})),
    )
