"""The model `stacked`: `default` with another model of the support set, to be compared with it.

A prior mean proportional to the source mean, and a Gaussian process and a forest on what it misses, see
`support_model`. Source tasks that do not cover the query's networks are left out. Without labels it is `default`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from predictor.label_set import Floats, LabelSet
from predictor.models.base import MIN_SUPPORT, Model, ModelError, Prediction, register
from predictor.models.source_ensemble import SourceSelection, task_weights
from predictor.models.support_model import Inputs, SupportModel, SupportSettings
from predictor.models.transfer import TransferModel

_UNINFORMATIVE = 1.0  # variance of a source score that says no more than the mean label
_TINY = 1e-12


class StackedSettings(SupportSettings, frozen=True, extra="forbid"):
    """The constants that relate a query task to the source tasks, those of its support model, and its parts."""

    slope: float = Field(0.5, ge=0, lt=1, description="Prior mean of the slope on the source mean, in deviations.")
    half_slope_variance: float = Field(0.2, gt=0, description="Variance of the best source task that halves the slope.")
    same_networks: bool = Field(True, description="Whether labels of the same networks replace a source task's score.")
    sources: bool = Field(True, description="Whether source tasks are used with a support set.")


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    """columns: indices of the source scores that the model uses."""

    selection: SourceSelection
    columns: NDArray[np.int64]
    model: SupportModel


@register
class StackedModel(TransferModel):
    """See the module."""

    name = "stacked"
    settings: ClassVar[StackedSettings] = StackedSettings.model_validate({})

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._support: _Posterior | None = None

    @classmethod
    def variant(cls, settings: Mapping[str, str]) -> type[Model]:
        """See `Model.variant`; the settings are those of `StackedSettings`."""
        try:
            checked = StackedSettings.model_validate(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            known = ", ".join(StackedSettings.model_fields)
            reason = f"setting '{first['loc'][0]}': {first['msg']}: the settings are {known}"
            raise ModelError(f"model {cls.name}: {reason}") from None
        return type(cls.__name__, (cls,), {"settings": checked})

    def adapt(self, support: LabelSet) -> None:
        """See `Model.adapt`."""
        self._support = None
        if len(support) < MIN_SUPPORT:
            super().adapt(support)
            return
        settings, slope, columns = self.settings, 0.0, np.zeros(0, np.int64)
        selection = self.sources.select(support)
        if selection.count and settings.sources:
            variances = self.sources.mean_variances(support, selection, settings.same_networks)
            columns = np.flatnonzero(variances < _UNINFORMATIVE)
            slope = settings.slope * settings.half_slope_variance / (settings.half_slope_variance + variances.min())
        inputs = self._inputs(support, selection, columns)
        model = SupportModel(inputs, support.values, float(slope), self._seed, settings)
        self._support = _Posterior(selection, columns, model)

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        if self._support is None:
            return super().predict(query)
        inputs = self._inputs(query, self._support.selection, self._support.columns)
        return Prediction.from_quantiles(self._support.model.quantiles(inputs))

    def _inputs(self, labels: LabelSet, selection: SourceSelection, columns: NDArray[np.int64]) -> Inputs:
        """Return the inputs of a support model, which uses the scores of some tasks."""
        if not len(columns):
            return Inputs(labels.table, np.zeros((len(labels), 0)), np.zeros(len(labels)))
        scores, variance = self.sources.scores(labels, selection, self.settings.same_networks)
        weights = task_weights(variance, selection)[:, columns]
        used: Floats = scores[:, columns]
        return Inputs(labels.table, used, (weights * used).sum(axis=1) / np.maximum(weights.sum(axis=1), _TINY))
