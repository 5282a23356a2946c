"""What a store has of the labels of a search."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from orchestrator.campaign.search_config import SearchConfig
from orchestrator.campaign.search_plan import SearchPlan
from orchestrator.search.history import architecture_of, seconds_of
from orchestrator.store.base import LabelStore
from workers.latency.labels import TASK as LATENCY
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.spaces import get_space


class SearchLabels:
    """Labels of a search and of its verification, read from the store at `update`."""

    def __init__(self, config: SearchConfig, plan: SearchPlan, store: LabelStore) -> None:
        self._config, self._plan, self._store = config, plan, store
        self._rows: dict[str, dict[str, Any]] = {}
        self._latencies: dict[str, list[float]] = {}
        self._failed = set[str]()
        self.update()

    def update(self) -> None:
        """Read what was added to the store."""
        kinds = {(r.task, r.fidelity) for r in [*self._plan.search.values(), *(self._plan.verification or {}).values()]}
        columns = ["key", "architecture", "genotype", "task", "fidelity", "seed", "value", "seconds", "flops", "params"]
        self._rows = {}
        for task, fidelity in kinds:
            table = self._store.labels(space=self._config.space, task=task, fidelity=fidelity)
            self._rows |= {row["key"]: row for row in table.select(columns).to_pylist()}
        self._failed = set() if self._config.retry_failed else self._store.finally_failed()
        if self._config.latency:
            self._read_latencies()

    def missing(self, requests: Sequence[LabelRequest]) -> list[LabelRequest]:
        """Return the requests that have neither a label nor a final failure, each once."""
        settled = self._rows.keys() | self._failed
        return list({r.key: r for r in requests if r.key not in settled}.values())

    def architectures(self) -> list[Architecture]:
        """Return all architectures that have every label of the search, by their ids."""
        space, found = get_space(self._config.space), dict[str, Architecture]()
        for row in self._rows.values():
            architecture = architecture_of(space, row["genotype"])
            if architecture is not None and architecture.id == row["architecture"]:
                found[architecture.id] = architecture
        return [found[name] for name in sorted(found) if self.complete(found[name])]

    def complete(self, architecture: Architecture) -> bool:
        """Return whether an architecture has a label of each task."""
        return self.values(architecture) is not None

    def values(self, architecture: Architecture) -> dict[str, float] | None:
        """Return the labels by task, each the mean over the seeds that there are; None if a task has none."""
        rows = [self._rows[r.key] for r in self._plan.requests(self._config, architecture) if r.key in self._rows]
        by_task = {task: [row["value"] for row in rows if row["task"] == task] for task in self._config.tasks}
        return {task: fmean(values) for task, values in by_task.items()} if all(by_task.values()) else None

    def latency(self, architecture: Architecture) -> float | None:
        """Return the measured milliseconds of the first task's network; None if there are none."""
        found = self._latencies.get(architecture.id)
        return fmean(found) if found else None

    def verified(self, architecture: Architecture) -> dict[str, dict[int, float]]:
        """Return the labels of the verification by task and seed."""
        requests = self._plan.verifications(self._config, architecture)
        found: dict[str, dict[int, float]] = {task: {} for task in self._config.tasks}
        for request in requests:
            if request.key in self._rows:
                found[request.task][request.seed] = float(self._rows[request.key]["value"])
        return found

    def verification_seconds(self, architecture: Architecture) -> float:
        """Return what the verification of an architecture took; 0 if it is not known."""
        requests = self._plan.verifications(self._config, architecture)
        return sum(seconds_of(self._rows[r.key]) for r in requests if r.key in self._rows)

    def _read_latencies(self) -> None:
        """Read the milliseconds of the first task's networks, on the device that most of them were measured on."""
        wanted = self._plan.latency_recipe
        table = self._store.labels(space=self._config.space, task=LATENCY)
        by_device = dict[str, dict[str, list[float]]]()
        for row in table.select(["architecture", "data", "recipe_hash", "value"]).to_pylist():
            if row["recipe_hash"] == wanted and row["data"].startswith(f"{self._config.latency}:"):
                by_device.setdefault(row["data"], {}).setdefault(row["architecture"], []).append(float(row["value"]))
        most = max(by_device, key=lambda device: (len(by_device[device]), device), default=None)
        self._latencies = {} if most is None else by_device[most]
