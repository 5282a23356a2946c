"""The regressions that the model `default` fits to a support set, and their prior weights.

Gaussian processes are right for smooth functions, forests for those with steps and interactions. Some use the graphs
alone, others also the scores by source tasks, and some have a prior mean proportional to the source mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats
from predictor.models.forest import ResidualForest
from predictor.models.gaussian_process import (
    Process,
    ResidualProcess,
    linear,
    linear_in_graphs,
    matern32_in_graphs,
    rbf,
    rbf_in_graphs,
)
from predictor.models.mixture import Expert, Mixture

_UNINFORMATIVE = 1.0  # variance of a source score that says no more than the mean label
_BOOST_LABELS = 20.0  # support labels with which the residual process has prior weight 1; with fewer it has more


class SupportSettings(BaseModel, frozen=True, extra="forbid"):
    """The constants of the mixture."""

    slope: float = Field(0.5, ge=0, lt=1, description="Prior mean of the slope on the source mean, in deviations.")
    slope_deviation: float = Field(0.3, gt=0, description="Deviation of the prior of the forest's slope.")
    half_weight_variance: float = Field(
        0.2, gt=0, description="Variance of the best source task that halves the weight of all source tasks."
    )
    residual_boost: float = Field(
        2.0, ge=0, description="Exponent by which fewer than 20 labels raise the weight of the residual process."
    )
    stacking_labels: float = Field(8.0, gt=0, description="Labels' worth of evidence that the prior weights are.")
    forests: bool = Field(True, description="Whether there are forests.")


@dataclass(frozen=True, slots=True, eq=False)
class SupportInputs:
    """The inputs of n networks.

    table: (n, tasks + 1 + columns), standardised: the scores by source tasks and their weighted mean, if there are any
    tasks, then `LabelSet.table`. variances: (tasks,) of the scores, averaged over the support set. source_variance: of
    the most certain task, averaged likewise.
    """

    table: Floats
    variances: Floats
    source_variance: float

    @property
    def tasks(self) -> int:
        """The number of source tasks."""
        return len(self.variances)

    @property
    def first_graph_column(self) -> int:
        """The index of the first column of `LabelSet.table`."""
        return self.tasks + 1 if self.tasks else 0


def fit_mixture(inputs: SupportInputs, values: Floats, seed: int, settings: SupportSettings) -> Mixture:
    """Fit all experts to (n,) standard scores of the support labels."""
    experts = _on_graphs(inputs, values, seed, settings)
    if inputs.tasks:
        experts += _on_sources(inputs, values, seed, settings)
    fitted, weights = zip(*experts, strict=True)
    return Mixture(fitted, np.array(weights), values, settings.stacking_labels)


def _on_graphs(
    inputs: SupportInputs, values: Floats, seed: int, settings: SupportSettings
) -> list[tuple[Expert, float]]:
    """Return experts that use graphs alone, and their prior weights. The two smooth ones share one weight."""
    table, first = inputs.table, inputs.first_graph_column
    flops = first + STATISTICS.index("log_flops")
    smooth = linear_in_graphs(table, first, 1.0) + rbf_in_graphs(table, first, 1.0)
    experts: list[tuple[Expert, float]] = [
        (Process(smooth, table, values, seed), 0.5),
        (Process(matern32_in_graphs(table, first, 1.0), table, values, seed), 0.5),
        (Process(linear(flops, flops + 1, 1.0), table, values, seed), 1.0),
    ]
    if settings.forests:
        columns = np.arange(first, table.shape[1])
        experts.append((ResidualForest(table, values, seed, columns, first, 0.0), 1.0))
    return experts


def _on_sources(
    inputs: SupportInputs, values: Floats, seed: int, settings: SupportSettings
) -> list[tuple[Expert, float]]:
    """Return experts that use scores by source tasks. Their weights are small if no task covers the networks."""
    table, tasks, first = inputs.table, inputs.tasks, inputs.first_graph_column
    on_scores = linear(0, tasks, 0.5)
    on_all = on_scores + rbf(0, tasks, 0.1, 2.0) + rbf_in_graphs(table, first, 0.3)
    residual = linear(tasks, first, 0.1) + rbf_in_graphs(table, first, 0.1)
    coverage = settings.half_weight_variance / (settings.half_weight_variance + inputs.source_variance)
    boost = (_BOOST_LABELS / len(values)) ** settings.residual_boost
    experts: list[tuple[Expert, float]] = [
        (Process(on_scores, table, values, seed), coverage),
        (Process(on_all, table, values, seed), coverage),
        (ResidualProcess(residual, table, values, seed, tasks, settings.slope), coverage * boost),
    ]
    if settings.forests:
        mean, slope = table[:, tasks], settings.slope * coverage
        slope = posterior_slope(mean, values, slope, settings.slope_deviation)
        forest = ResidualForest(table, values, seed, _forest_columns(inputs), tasks, slope)
        experts.append((forest, 1.0))
    return experts


def _forest_columns(inputs: SupportInputs) -> NDArray[np.int64]:
    """Return the columns of a forest: no scores that say nothing, among which it would have to choose."""
    used = np.flatnonzero(inputs.variances < _UNINFORMATIVE)
    mean = [inputs.tasks] if len(used) else []
    return np.array([*used, *mean, *range(inputs.first_graph_column, inputs.table.shape[1])], np.int64)


def posterior_slope(mean: Floats, values: Floats, prior: float, prior_deviation: float) -> float:
    """Return by how many deviations labels rise per deviation of the source mean.

    mean, values: (n,), standardised. prior, prior_deviation: of a normal prior.
    """
    precision = 1 / prior_deviation**2
    noise = 1 - prior**2
    return float((prior * precision + mean @ values / noise) / (precision + mean @ mean / noise))
