"""Whether published values are in the unit of their metric: accuracies and the like are from 0 to 1, not percent."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from orchestrator.published.result import Result

# Parts of the names of metrics that are fractions, such as top1, pixel_acc, bbox_mAP_50, mIoU, PCK@0.2, F1-score.
_FRACTIONS = re.compile(
    r"top\d*|m?acc|accuracy|m?ap\d*|m?ar\d*|m?iou\d*|m?dice|pq|sq|rq|oks|a?pck[hb]?|auc|auroc|precision|recall|f1\d*"
)
_NOT_FRACTIONS = frozenset(("ms", "loss", "log", "rank", "epe", "error", "err", "distance"))
_PERCENT = Decimal(100)
_MIXED = "most values of {} in this file are percentages, is this one a fraction? Write all in one unit"


@dataclass(frozen=True, slots=True)
class CheckedUnits:
    """Results with fractions as values, those that are refused with the reason, and what was converted."""

    results: list[Result]
    rejected: list[tuple[Result, str]]
    notes: list[str]


def is_fraction(metric: str) -> bool:
    """Return whether a metric's values are known to be from 0 to 1."""
    parts = re.findall(r"[a-z]+\d*", metric.lower())
    return any(_FRACTIONS.fullmatch(part) for part in parts) and not _NOT_FRACTIONS & set(parts)


def check_units(results: Sequence[Result]) -> CheckedUnits:
    """Return the results with percentages converted, by task, data set and metric.

    Values above 1, up to 100, are percentages. Of a metric with values of both kinds the smaller part is refused,
    because 0.9 may be 0.9 %.
    """
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.task, result.dataset, result.metric].append(result)
    kept, rejected, notes = list[Result](), list[tuple[Result, str]](), list[str]()
    for (task, dataset, metric), members in groups.items():
        if not is_fraction(metric):
            kept += members
            continue
        large = [result for result in members if 1 < result.value <= 100]
        small = [result for result in members if 0 <= result.value <= 1]
        rejected += [
            (result, f"value {result.value:g}: {metric} is from 0 to 1")
            for result in members
            if not 0 <= result.value <= 100
        ]
        if len(large) > len(small):
            rejected += [(result, f"value {result.value:g}: {_MIXED.format(metric)}") for result in small]
            kept += [replace(result, value=float(Decimal(repr(result.value)) / _PERCENT)) for result in large]
            notes.append(f"{metric} of {task} on {dataset}: {len(large)} percentages were divided by 100")
            continue
        kept += small
        reason = f"{metric} is from 0 to 1 as in {len(small)} other lines: divide percentages by 100"
        rejected += [(result, f"value {result.value:g}: {reason}") for result in large]
    return CheckedUnits(sorted(kept, key=lambda result: result.line), rejected, notes)
