"""One source task: a Gaussian process from graph statistics and proxies to the standard scores of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.label_set import Floats, LabelSet
from predictor.models.gaussian_process import Process, statistics_hyperparameters, statistics_kernel, statistics_process
from predictor.models.scaling import PowerTransform, Standardiser

_MAX_TRAIN_LABELS = 400  # of the process, whose time grows with their cube
_MAX_GROWTH = 1.5  # hyper-parameters are fitted again once there are this many times as many labels
_MAX_SCALED_DISTANCE = 3.0  # of one statistic outside its range; beyond, more makes no difference


@dataclass(frozen=True, slots=True, eq=False)
class SourceTask:
    """A process fitted to some of a label set's labels, and the range of the set's graph statistics.

    labels: their number in the set. recipes: see `LabelSet`. transform: from labels to standard scores.
    low, high: (statistics,) the range. scale: of the process's inputs. fitted_labels: number of labels that the
    hyper-parameters were fitted to. offsets: see `LabelSet`.
    """

    name: str
    task: str
    data: str
    labels: int
    recipes: tuple[str, ...]
    transform: PowerTransform
    low: Floats
    high: Floats
    scale: Standardiser
    process: Process
    fitted_labels: int
    offsets: Mapping[str, float]

    @classmethod
    def fit(
        cls, source: LabelSet, seed: int, previous: SourceTask | None = None, kept: NDArray[np.bool_] | None = None
    ) -> SourceTask:
        """Fit to a set with at least one label.

        previous: fitted to fewer labels of the set. Its hyper-parameters are reused unless there are many more labels.
        kept: (n,) labels that the process may be fitted to; None: all.
        """
        transform = PowerTransform.of(source.values)
        rows = np.random.default_rng(seed).permutation(len(source))
        if kept is not None and kept.any():
            rows = rows[kept[rows]]
        rows = rows[:_MAX_TRAIN_LABELS]
        table = source.table[rows]
        scale = Standardiser.of(table)
        inputs, scores, fitted_labels = scale(table), transform(source.values)[rows], len(rows)
        if previous is not None and previous._hyperparameters_fit(inputs):
            state = {"table": inputs, "values": scores, "theta": previous.process.state()["theta"]}
            process, fitted_labels = Process.restore(statistics_kernel(inputs), state), previous.fitted_labels
        else:
            process = statistics_process(inputs, scores, seed)
        return cls(
            name=source.name,
            task=source.task,
            data=source.data,
            labels=len(source),
            recipes=source.recipes,
            transform=transform,
            low=source.statistics.min(axis=0),
            high=source.statistics.max(axis=0),
            scale=scale,
            process=process,
            fitted_labels=fitted_labels,
            offsets=source.offsets,
        )

    def _hyperparameters_fit(self, inputs: Floats) -> bool:
        """Return whether its hyper-parameters can be reused for these inputs of the same set."""
        theta: Floats = self.process.state()["theta"]
        return len(inputs) < _MAX_GROWTH * self.fitted_labels and len(theta) == statistics_hyperparameters(inputs)

    def same_task_and_data(self, other: LabelSet) -> bool:
        """Return whether the other set has labels of the same task and data set."""
        return (self.task, self.data) == (other.task, other.data)

    def same_unit(self, other: LabelSet) -> bool:
        """Return whether labels of the other set are on the same scale: also of the same recipe, if both name theirs.

        Recipes differ by an offset, which is unknown without labels of the other recipe.
        """
        both_known = bool(self.recipes and other.recipes)
        return self.same_task_and_data(other) and not (both_known and set(self.recipes).isdisjoint(other.recipes))

    def scores(self, source: LabelSet) -> Floats:
        """Return (n,) labels of this task as its standard scores."""
        return self.transform(source.values)

    def predict(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) posterior means and standard deviations of standard scores. table: see `LabelSet.table`.

        The deviations hold for networks within the range of the source task, see `ood_distance`.
        """
        return self.process(self.scale(table))

    def ood_distance(self, statistics: Floats, unit: Floats) -> Floats:
        """Return (n,) out-of-distribution distances: how far networks are outside the range of the source task.

        The root mean square over all statistics, each in its `unit`. The process's own deviation does not cover this:
        it ignores a statistic that never varied.
        """
        outside = np.maximum(np.maximum(self.low - statistics, statistics - self.high), 0.0)
        distance: Floats = np.sqrt((np.minimum(outside / unit, _MAX_SCALED_DISTANCE) ** 2).mean(axis=1))
        return distance

    def shift_into_range(self, statistics: Floats) -> Floats:
        """Return (n, statistics) shifted together, each by as much as all networks are outside its range."""
        above = np.maximum(statistics.min(axis=0) - self.high, 0.0)
        below = np.maximum(self.low - statistics.max(axis=0), 0.0)
        shifted: Floats = statistics - above + below
        return shifted

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays by name, and what JSON can hold, for `restore`."""
        arrays: dict[str, NDArray[Any]] = {
            "low": self.low,
            "high": self.high,
            "centre": self.scale.mean,
            "factor": self.scale.factor,
        }
        settings = {
            "name": self.name,
            "task": self.task,
            "data": self.data,
            "labels": self.labels,
            "tuned": self.fitted_labels,
            "recipes": list(self.recipes),
            "warp": asdict(self.transform),
        }
        if self.offsets:
            settings["offsets"] = dict(self.offsets)
        return arrays | self.process.state(), settings

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> SourceTask:
        """Inverse of `state`."""
        warp = settings["warp"]
        return cls(
            name=settings["name"],
            task=settings["task"],
            data=settings["data"],
            labels=settings["labels"],
            recipes=tuple(settings.get("recipes", ())),  # missing in generations written by early versions
            transform=PowerTransform(warp["power"], tuple(warp["before"]), tuple(warp["after"])),
            low=arrays["low"],
            high=arrays["high"],
            scale=Standardiser(arrays["centre"], arrays["factor"]),
            process=Process.restore(statistics_kernel(arrays["table"]), arrays),
            fitted_labels=settings["tuned"],
            offsets=settings.get("offsets", {}),
        )
