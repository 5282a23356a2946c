"""Why labels are missing: the last attempt at each, grouped by its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workers.messages.label import Outcome

RETRY = "--retry-failed"
_SHOWN = 20  # reasons; further ones are counted together


def group_failures(
    attempts: Iterable[Mapping[str, Any]], missing: Mapping[str, int], unattempted: str = ""
) -> list[dict[str, Any]]:
    """Return a row for each reason, the most frequent first, with the fields labels, outcome, reason and retry.

    attempts: rows of the store. missing: how many labels are missing, by the key of their request. unattempted: the
    reason for those without an attempt; they are left out if it is empty. retry: what makes these labels again, the
    option or "the same command".
    """
    last: dict[str, Mapping[str, Any]] = {}
    for row in sorted(attempts, key=lambda row: (row["started"], row["attempt"])):
        if row["key"] in missing and row["outcome"] != Outcome.OK:
            final = row["final"] or last.get(row["key"], row)["final"]
            last[row["key"]] = {**row, "final": final}
    counts: dict[tuple[str, str, str], int] = {}
    for key, count in missing.items():
        found = last.get(key)
        if found is None and not unattempted:
            continue
        again = RETRY if found is not None and found["final"] else "the same command"
        outcome, reason = (found["outcome"], found["message"]) if found is not None else ("not started", unattempted)
        group = outcome, " ".join(reason.split()), again
        counts[group] = counts.get(group, 0) + count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        {"labels": count, "outcome": outcome, "reason": reason, "retry": again}
        for (outcome, reason, again), count in ordered[:_SHOWN]
    ]
    if others := ordered[_SHOWN:]:
        total = sum(count for _, count in others)
        rows.append({"labels": total, "outcome": "", "reason": f"{len(others)} other reasons", "retry": ""})
    return rows


def describe_failures(failures: list[dict[str, Any]]) -> str:
    """Return one line: the number of missing labels, the most frequent reason, and what to do. Empty without any."""
    if not failures:
        return ""
    total, first = sum(row["labels"] for row in failures), failures[0]
    more = f" (and {len(failures) - 1} other reasons)" if len(failures) > 1 else ""
    final = sum(row["labels"] for row in failures if row["retry"] == RETRY)
    remedies = [f"fix the cause and add {RETRY} for {final} of them"] if final else []
    if final < total:
        remedies.append(f"run the same command again{' for the others' if final else ''}")
    reason = first["reason"] or first["outcome"]
    return f"{total} labels missing: {first['labels']} because of {reason}{more}: {', '.join(remedies)}"
