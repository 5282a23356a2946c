"""The labels of a study: values by task, latencies, and what they say of each architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import ConfigError
from workers.messages.architecture import Architecture

OPENING = 10  # labels before the first prediction


@dataclass(frozen=True, slots=True)
class Found:
    """A labelled architecture.

    values: labels by task. value: of the search: the label, or the weighted sum of several tasks. costs: by name.
    within: whether it meets all limits; one whose latency is limited and not known does not.
    """

    architecture: Architecture
    values: Mapping[str, float]
    value: float
    costs: Mapping[str, float]
    within: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """What the labels of a task are centred at and divided by."""

    centre: float = 0.0
    unit: float = 1.0

    def __call__(self, label: float) -> float:
        return (label - self.centre) / self.unit


class StudyLabels:
    """Labels by architecture. weights: of the tasks, in standard deviations of their labels."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._values: dict[Architecture, dict[str, float]] = {}
        self._fixed: dict[str, Scale] | None = None
        self.latencies: dict[Architecture, float] = {}

    def add(self, architecture: Architecture, values: Mapping[str, float], latency: float | None) -> None:
        """Add the labels of an architecture. Raises ConfigError for one that is missing or not finite."""
        for task in self._weights:
            if not math.isfinite(values.get(task, math.nan)):
                raise ConfigError(f"tell {architecture.genotype}: needs a finite label of task {task}, or None")
        self._values[architecture] = {task: float(values[task]) for task in self._weights}
        if latency is not None:
            self.latencies[architecture] = latency
        if self._fixed is None and len(self) >= OPENING:  # later labels do not change what a weight means
            self._fixed = self.scales()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, architecture: Architecture) -> bool:
        return architecture in self._values

    @property
    def enough(self) -> bool:
        """Whether there are enough to predict others."""
        return len(self) >= OPENING

    def architectures(self) -> list[Architecture]:
        """Return the labelled architectures, by their ids."""
        return sorted(self._values, key=lambda a: a.id)

    def of(self, task: str, architectures: Sequence[Architecture]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return (n,) labels of a task."""
        return np.array([self._values[a][task] for a in architectures], np.float64)

    def scales(self) -> dict[str, Scale]:
        """Return the scale of each task. One task alone keeps its unit; several have those of the first ten labels."""
        if self._fixed is not None:
            return self._fixed
        if len(self._weights) == 1:
            return {task: Scale() for task in self._weights}
        found = {}
        for task, weight in self._weights.items():
            values = self.of(task, self.architectures())
            found[task] = Scale(float(values.mean()), (float(values.std()) or 1.0) / weight)
        return found

    def found(self, architecture: Architecture, costs: Mapping[str, float], limits: Mapping[str, float]) -> Found:
        """Return what is known of a labelled architecture. costs: without its latency."""
        values, scales = self._values[architecture], self.scales()
        latency = self.latencies.get(architecture)
        known = dict(costs) if latency is None else {**costs, "latency": latency}
        value = math.fsum(scale(values[task]) for task, scale in scales.items())
        within = all(known.get(name, math.inf) <= limit for name, limit in limits.items())
        return Found(architecture, dict(values), value, known, within)
