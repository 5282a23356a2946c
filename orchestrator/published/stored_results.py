"""Which results of a file a store has already, which differ from stored ones, and the keys of new ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.published.named_networks import NamedNetwork
from orchestrator.published.result import Result
from orchestrator.store.base import LabelStore
from workers.messages.label import LabelRequest, label_key
from workers.messages.published_recipe import FIDELITY

_COLUMNS = ["key", "architecture", "task", "fingerprint", "fidelity", "recipe_hash", "seed", "metric", "value"]
_CHANGED = (
    "value {} differs from the stored {}, which stays: give another training its number in a column seed, or "
    "import a corrected value under another recipe or into a new store"
)
_REPEATED = "the same as line {}: give another training with equal results its number in a column seed"


@dataclass(frozen=True, slots=True)
class NamedResult:
    """A result, its network, and the request with seed 0 and without a metric."""

    result: Result
    network: NamedNetwork
    request: LabelRequest


@dataclass(slots=True)
class SortedResults:
    """New results with their requests, and the others. known: the number of results whose value is stored.

    repeated, differing: results with the reason why they are not added.
    """

    new: list[NamedResult] = field(default_factory=list)
    known: int = 0
    repeated: list[tuple[Result, str]] = field(default_factory=list)
    differing: list[tuple[Result, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _StoredValue:
    key: str
    seed: int
    metric: str
    value: float


def sort_results(results: Sequence[NamedResult], store: LabelStore) -> SortedResults:
    """Compare results with those in the store.

    A metric is part of a label's identity. The first metric of a network, by name if a file has several, gets the key
    without a metric, which labels of earlier versions have. Results of one network and metric are its trainings: they
    get the seed of the column, or else that of the stored label with the same value, or else the next.
    """
    stored = _stored_values(store)
    groups: dict[str, list[NamedResult]] = defaultdict(list)
    for named in results:
        groups[named.request.key].append(named)
    found = SortedResults()
    for key, members in groups.items():
        _sort_group(members, stored.get(key, ()), found)
    found.new.sort(key=lambda named: named.result.line)
    return found


def _stored_values(store: LabelStore) -> Mapping[str, list[_StoredValue]]:
    """Return the published values, by the key that their label would have with seed 0 and without a metric."""
    values: dict[str, list[_StoredValue]] = defaultdict(list)
    for row in store.labels(fidelity=FIDELITY).select(_COLUMNS).to_pylist():
        parts = (row["architecture"], row["task"], row["fingerprint"], row["fidelity"], row["recipe_hash"])
        stored = _StoredValue(row["key"], row["seed"], row["metric"], row["value"])
        values[label_key(*parts, seed=0)].append(stored)
    return values


def _sort_group(members: Sequence[NamedResult], stored: Sequence[_StoredValue], found: SortedResults) -> None:
    """Sort the results of one network, task, data set and recipe."""
    without_metric = {value.key: value.metric for value in stored}
    plain = [v.metric for v in stored if replace(members[0].request, seed=v.seed).key == v.key]
    by_metric: dict[str, list[NamedResult]] = defaultdict(list)
    for named in _without_repeats(members, found):
        by_metric[named.result.metric].append(named)
    first = plain[0] if plain else min(by_metric)
    for metric, named_results in by_metric.items():
        values = {value.seed: value.value for value in stored if value.metric == metric}
        for named, seed in _with_seeds(named_results, values, found):
            request = replace(named.request, seed=seed)
            if metric != first or without_metric.get(request.key, metric) != metric:
                request = replace(request, metric=metric)
            found.new.append(replace(named, request=request))


def _without_repeats(members: Sequence[NamedResult], found: SortedResults) -> list[NamedResult]:
    """Return the results without those that repeat an earlier line in every column."""
    lines, kept = dict[tuple[object, ...], int](), list[NamedResult]()
    for named in members:
        result = named.result
        first = lines.setdefault((result.model, result.space, result.metric, result.seed, result.value), result.line)
        if first == result.line:
            kept.append(named)
        else:
            found.repeated.append((result, _REPEATED.format(first)))
    return kept


def _with_seeds(
    named_results: Sequence[NamedResult], stored: Mapping[int, float], found: SortedResults
) -> list[tuple[NamedResult, int]]:
    """Return the new results of one network and metric with their seeds. stored: values by seed."""
    new, unmatched, claimed = list[tuple[NamedResult, int]](), list[NamedResult](), set[int]()
    for named in named_results:
        seed, value = named.result.seed, named.result.value
        equal = [s for s, v in sorted(stored.items()) if v == value and s not in claimed and seed in (None, s)]
        if equal:
            claimed.add(equal[0])
            found.known += 1
        elif seed is None:
            unmatched.append(named)
        elif seed in claimed:
            found.differing.append((named.result, f"seed {seed} is in another line with another value: remove one"))
        elif seed in stored:
            claimed.add(seed)
            found.differing.append((named.result, _CHANGED.format(value, stored[seed])))
        else:
            claimed.add(seed)
            new.append((named, seed))
    other = [seed for seed in sorted(stored) if seed not in claimed]
    for named in unmatched:
        if other:
            seed = other.pop(0)
            found.differing.append((named.result, _CHANGED.format(named.result.value, stored[seed])))
            continue
        seed = next(s for s in range(len(stored) + len(claimed) + 1) if s not in stored and s not in claimed)
        claimed.add(seed)
        new.append((named, seed))
    return new
