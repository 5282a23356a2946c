"""One known label set: standard scores of its labels as a function of graph statistics and proxies."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.label_set import Floats, LabelSet
from predictor.models.gaussian_process import Process, statistics_hyperparameters, statistics_kernel, statistics_process
from predictor.models.scaling import PowerTransform, Standardiser

_MOST = 400  # labels that the process learns from: its time grows with their cube
_GROWN = 1.5  # times as many labels as its hyper-parameters were found from, then they are found anew
_TOLD = ("name", "task", "data", "labels", "tuned")
_FAR = 3.0  # spreads outside, beyond which it makes no difference


class SourceTask:
    """A Gaussian process on some of a set's labels, and where in the space of graphs they lie."""

    _process: Process

    def __init__(self, known: LabelSet, seed: int, before: SourceTask | None = None) -> None:
        """known: at least one label. before: from fewer labels of the set; its hyper-parameters save finding them."""
        self.name, self.task, self.data, self.labels = known.name, known.task, known.data, len(known)
        self.recipes = known.recipes
        self.warp = PowerTransform.of(known.values)
        self._low, self._high = known.statistics.min(axis=0), known.statistics.max(axis=0)
        some = np.random.default_rng(seed).permutation(len(known))[:_MOST]
        table = known.table[some]
        self._scale = Standardiser.of(table)
        inputs, wanted, self.tuned = self._scale(table), self.scores(known)[some], len(some)
        if before is not None and before._serves(inputs):
            state = {"table": inputs, "values": wanted, "theta": before._process.state()["theta"]}
            self._process, self.tuned = Process.restore(statistics_kernel(inputs), state), before.tuned
        else:
            self._process = statistics_process(inputs, wanted, seed)

    def _serves(self, inputs: Floats) -> bool:
        """Whether its hyper-parameters are good enough for more labels of the set."""
        theta: Floats = self._process.state()["theta"]
        return len(inputs) < _GROWN * self.tuned and len(theta) == statistics_hyperparameters(inputs)

    def alike(self, other: LabelSet) -> bool:
        """Whether labels of the other set are of the same task and data."""
        return (self.task, self.data) == (other.task, other.data)

    def in_unit_of(self, other: LabelSet) -> bool:
        """Whether they are on the same scale: of the same recipe too, as far as recipes are told.

        The offset of another recipe cannot be known without labels of it.
        """
        told = bool(self.recipes and other.recipes)
        return self.alike(other) and not (told and set(self.recipes).isdisjoint(other.recipes))

    def scores(self, known: LabelSet) -> Floats:
        """(n,) labels of this set in its standard scores."""
        return self.warp(known.values)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """(n,) standard scores, and how unsure they are where networks are like those it learnt from.

        table: `LabelSet.table` of the networks.
        """
        return self._process(self._scale(table))

    def ood_distance(self, statistics: Floats, spread: Floats) -> Floats:
        """(n,) how far networks lie outside of what was learnt from: root mean square over statistics, in `spread`s.

        A process alone does not tell: a statistic that never varied is nothing to it.
        """
        outside = np.maximum(np.maximum(self._low - statistics, statistics - self._high), 0.0)
        distance: Floats = np.sqrt((np.minimum(outside / spread, _FAR) ** 2).mean(axis=1))
        return distance

    def shift_into_range(self, statistics: Floats) -> Floats:
        """(n, statistics) of networks moved together, each statistic by as much as all of them lie outside."""
        above = np.maximum(statistics.min(axis=0) - self._high, 0.0)
        strip_prefix = np.maximum(self._low - statistics.max(axis=0), 0.0)
        moved: Floats = statistics - above + strip_prefix
        return moved

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays by name, and what JSON holds; `restore` reads both."""
        arrays = {"low": self._low, "high": self._high, "centre": self._scale.mean, "factor": self._scale.factor}
        told = {name: getattr(self, name) for name in _TOLD}
        told |= {"recipes": list(self.recipes), "warp": asdict(self.warp)}
        return arrays | self._process.state(), told

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], told: dict[str, Any]) -> SourceTask:
        """Inverse of `state`."""
        known = cls.__new__(cls)
        for name in _TOLD:
            setattr(known, name, told[name])
        known.recipes = tuple(told.get("recipes", ()))  # generations of old do not tell
        known.warp = PowerTransform(told["warp"]["power"], tuple(told["warp"]["before"]), tuple(told["warp"]["after"]))
        known._low, known._high = arrays["low"], arrays["high"]
        known._scale = Standardiser(arrays["centre"], arrays["factor"])
        known._process = Process.restore(statistics_kernel(arrays["table"]), arrays)
        return known
