"""How busy the workers of the newest campaign were, from its attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from predictor.label_set import COSTS

_MIN_ATTEMPTS = 8


def busy_share(attempts: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of the workers' time that attempts of the newest campaign took; None if there are too few.

    attempts: rows of the store. The number of workers is not stored; it is taken as the most attempts at one time.
    Imports take no time and are no campaigns; a cost is measured within the attempt of its label.
    """
    campaigns: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for attempt in attempts:
        if attempt["seconds"] > 0 and attempt["task"] not in COSTS:
            started = attempt["started"].timestamp()
            campaigns[attempt["campaign"]].append((started, started + attempt["seconds"]))
    spans = [spans for spans in campaigns.values() if len(spans) >= _MIN_ATTEMPTS]
    if not spans:
        return None
    newest = max(spans, key=lambda intervals: max(intervals))
    began, ended = min(start for start, _ in newest), max(end for _, end in newest)
    return sum(end - start for start, end in newest) / (_most_at_once(newest) * (ended - began))


def _most_at_once(intervals: Sequence[tuple[float, float]]) -> int:
    """Return the largest number of intervals that share a moment; one that ends when another starts is not counted."""
    changes = sorted([(start, 1) for start, _ in intervals] + [(end, -1) for _, end in intervals])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
