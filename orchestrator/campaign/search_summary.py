"""Summarise a search: the front, the verified networks against the reference, and the winner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from orchestrator.campaign.search import SearchEnd
from orchestrator.campaign.search_config import SearchConfig
from orchestrator.campaign.search_labels import SearchLabels
from orchestrator.predictors.ranking import known_rank_correlation
from orchestrator.search.profile import SpaceProfile
from orchestrator.search.study import Study
from orchestrator.search.study_labels import Found
from orchestrator.search.verification import Comparison, compare
from workers.messages.architecture import Architecture

_MIN_COMPARED = 5  # networks; a correlation of fewer says nothing


def summarise_search(
    config: SearchConfig,
    study: Study,
    reference: Architecture,
    labels: SearchLabels,
    profile: SpaceProfile,
    end: SearchEnd,
) -> dict[str, Any]:
    """Return the result of a search as one JSON document."""
    found = {row.architecture: row for row in study.found()}
    comparisons = {task: _comparisons(labels, reference, end.verified, task) for task in config.tasks}
    verified = [_verified(found[a], end, comparisons, study) for a in end.verified if a in found]
    winner = pick_winner(verified, config.tasks)
    reference_row = _reference_row(found.get(reference), labels, reference, config)
    return {
        "task": config.task,
        "space": config.space,
        "data": config.data,
        "search": end.record.id,
        "labels": end.record.chosen,
        "known": len(end.record.known),
        "seconds": end.record.seconds,
        "traced": study.networks.traced,
        "profile": asdict(profile),
        "limits": dict(study.settings.limits),
        "axis": study.settings.axis,
        "reference": reference_row,
        "front": [_row(row) | {"expected": value} for row, value in study.expected_front()],
        "verified": verified,
        "winner": winner,
        "agreement": {task: agreement(verified, reference_row, task) for task in config.tasks},
        "problem": end.problem,
        "store": config.store,
    }


def pick_winner(verified: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> dict[str, Any] | None:
    """Return the verified network that meets the limits with the best labels; of equal ones the one with fewest FLOPs.

    With several tasks it is the one with the largest sum of differences to the reference, in half widths of their
    intervals.
    """

    def score(row: Mapping[str, Any]) -> float:
        if len(tasks) == 1:
            return float(row["verified"][tasks[0]]["value"])
        parts = []
        for task in tasks:
            one = row["verified"][task]
            half = (one["high"] - one["low"]) / 2 if one["low"] is not None else 1.0
            parts.append(one["difference"] / (half or 1.0))
        return float(sum(parts))

    complete = [row for row in verified if row["within"] and set(tasks) <= row["verified"].keys()]
    best = max(complete, key=lambda row: (score(row), -row["flops"]), default=None)
    return dict(best) if best is not None else None


def agreement(verified: Sequence[Mapping[str, Any]], reference: Mapping[str, Any] | None, task: str) -> float | None:
    """Return the rank correlation of the rounds' labels with the verified ones, the reference included.

    None for fewer than five networks, or if one of both is the same for all.
    """
    pairs = [(row["values"][task], row["verified"][task]["value"]) for row in verified if task in row["verified"]]
    if reference is not None and task in reference["verified"]:
        pairs.append((reference["values"][task], reference["verified"][task]))
    if len(pairs) < _MIN_COMPARED:
        return None
    rounds, full = np.array(pairs, np.float64).T
    return known_rank_correlation(rounds, full)


def _comparisons(
    labels: SearchLabels, reference: Architecture, verified: Sequence[Architecture], task: str
) -> dict[str, Comparison]:
    seeds = {architecture.id: labels.verified(architecture)[task] for architecture in verified}
    return compare({name: found for name, found in seeds.items() if found}, labels.verified(reference)[task])


def _row(row: Found) -> dict[str, Any]:
    latency = {"latency": row.costs["latency"]} if "latency" in row.costs else {}
    return {
        "architecture": row.architecture.id,
        "genotype": row.architecture.genotype,
        "value": row.value,
        "values": dict(row.values),
        "flops": row.costs["flops"],
        "params": row.costs["params"],
        **latency,
        "within": row.within,
    }


def _verified(
    row: Found, end: SearchEnd, comparisons: Mapping[str, Mapping[str, Comparison]], study: Study
) -> dict[str, Any]:
    """Return the row of a verified network: as predicted before it was labelled, as labelled, and as verified."""
    chosen = {one.genotype: one for part in end.record.rounds for one in part}.get(row.architecture.genotype)
    name = row.architecture.id
    return _row(row) | {
        "predicted": chosen.mean if chosen else None,
        "deviation": chosen.deviation if chosen else None,
        "verified": {task: asdict(found[name]) for task, found in comparisons.items() if name in found},
    }


def _reference_row(
    row: Found | None, labels: SearchLabels, reference: Architecture, config: SearchConfig
) -> dict[str, Any] | None:
    if row is None:
        return None
    verified = labels.verified(reference) if config.verify else {}
    means = {task: sum(seeds.values()) / len(seeds) for task, seeds in verified.items() if seeds}
    return _row(row) | {"verified": means}
