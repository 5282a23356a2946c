"""What a report reads: labels and attempts of a store, and the predictor's generations."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.predictors.generations import champion_number, pinned_number
from orchestrator.predictors.refresh.history import history
from orchestrator.report.chosen import charted_groups, chosen_networks
from orchestrator.report.comparable import ComparableLabels, LabelledNetwork, group_labels
from orchestrator.search.record import open_records
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import searches_uri
from workers.latency.labels import TASK as LATENCY
from workers.messages.measured_recipe import WHOLE
from workers.storage.spool import in_object_store

if TYPE_CHECKING:
    from orchestrator.report.held_out import HeldOutPredictions

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ReportContents:
    """One version of a store. rows, attempts: of its tables. predictors: folder of generations. made: ISO 8601."""

    store: str
    version: int
    rows: Sequence[Row]
    attempts: Sequence[Row]
    predictors: Path
    made: str

    @cached_property
    def groups(self) -> tuple[ComparableLabels, ...]:
        """Labels that can be compared, as in `status`."""
        return group_labels(self.rows)

    @cached_property
    def charted(self) -> tuple[ComparableLabels, ...]:
        """The groups that have charts: the largest ones."""
        return charted_groups(self.groups)

    @cached_property
    def chosen(self) -> dict[tuple[str, str], LabelledNetwork]:
        """The networks that are described one by one, by their identity."""
        return chosen_networks(self.charted)

    @cached_property
    def generations(self) -> list[dict[str, Any]]:
        """Generations and refused candidates, as in `generations`."""
        return history(self.predictors, champion_number(self.predictors), pinned_number(self.predictors))

    @cached_property
    def held_out(self) -> HeldOutPredictions:
        """The champion's predictions for labels that it was not trained on."""
        from orchestrator.report.held_out import predict_held_out  # loads torch

        return predict_held_out(self.predictors)

    @cached_property
    def searches(self) -> list[dict[str, Any]]:
        """The results of searches, as `search --json` prints them."""
        return open_records(searches_uri(self.store)).results() if self.version >= 0 else []

    @property
    def images(self) -> Path | None:
        """The folder of pictures of predictions; None if the store is not a local folder."""
        store = self.store.removeprefix("file://")
        return None if in_object_store(store) else Path(store) / "_images"

    def latencies(self, group: ComparableLabels) -> dict[str, dict[str, float]]:
        """Return, by device and settings, the milliseconds of the group's networks, by architecture."""
        head, found = json.loads(group.recipe), defaultdict[str, dict[str, float]](dict)
        for row in self._latency_rows.get(group.space, ()):
            recipe = json.loads(row["recipe"])
            whole, same_size = recipe["name"].startswith(WHOLE), recipe["input_size"] == head["input_size"]
            same_head = (recipe["task"], recipe["name"]) == (head["task"], head["name"])
            if same_size and (group.fidelity == "published" if whole else same_head):
                found[row["data"]][row["architecture"]] = row["value"]
        labelled = {network.architecture for network in group.networks}
        return {device: of_device for device, of_device in sorted(found.items()) if labelled & of_device.keys()}

    @cached_property
    def _latency_rows(self) -> dict[str, list[Row]]:
        by_space = defaultdict[str, list[Row]](list)
        for row in self.rows:
            if row["task"] == LATENCY:
                by_space[row["space"]].append(row)
        return by_space


def read_contents(store: DeltaLabelStore, where: str, predictors: Path) -> ReportContents:
    """Read a store, of which there may be none yet. where: as the user named it. Raises StoreError."""
    version = store.version()
    rows = store.labels(version=version).to_pylist() if version >= 0 else []
    attempts = sorted(store.attempts().to_pylist(), key=lambda row: row["started"])
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return ReportContents(where, version, rows, attempts, predictors, made)
