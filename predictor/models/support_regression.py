"""The regression from graphs and scores by source tasks to labels: a mixture of experts, with its scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictor.label_set import Floats
from predictor.models.base import Prediction
from predictor.models.experts import SupportInputs, SupportSettings, fit_mixture
from predictor.models.scaling import PowerTransform, Standardiser


@dataclass(frozen=True, slots=True, eq=False)
class SourceInputs:
    """Scores of n networks by source tasks.

    columns: (n, tasks + 1), the scores and their weighted mean; (n, 0) if there are no tasks. variances: (tasks,) of
    the scores, averaged over the networks. least: that of the most certain task, averaged likewise.
    """

    columns: Floats
    variances: Floats
    least: float


class SupportRegression:
    """Predicts labels of further networks; it was fitted to those of a support set."""

    def __init__(
        self, table: Floats, sources: SourceInputs, values: Floats, seed: int, settings: SupportSettings
    ) -> None:
        """table: (n, columns), `LabelSet.table` of the support set. values: (n,) its labels."""
        self._table_scale, self._source_scale = Standardiser.of(table), Standardiser.of(sources.columns)
        self._transform = PowerTransform.of(values)
        inputs = SupportInputs(self._inputs(table, sources.columns), sources.variances, sources.least)
        self._mixture = fit_mixture(inputs, self._transform(values), seed, settings)

    def __call__(self, table: Floats, columns: Floats) -> Prediction:
        """Return predictions for m networks. table: (m, columns). columns: (m, tasks + 1) of their `SourceInputs`."""
        return Prediction.from_quantiles(self._transform.quantiles(*self._mixture(self._inputs(table, columns))))

    def _inputs(self, table: Floats, columns: Floats) -> Floats:
        return np.hstack([self._source_scale(columns), self._table_scale(table)])
