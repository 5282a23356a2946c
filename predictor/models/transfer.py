"""The model `default`: transfer from many source tasks to a query task with few labels or none.

It is an ensemble in the spirit of RGPE (Feurer et al. 2018) and of transfer Gaussian processes, in three stages:

1. Source scores. Each source task scores a network, see `source_ensemble`. Their inverse-variance weighted mean is the
   source mean, in which related tasks count more.
2. No support set: the prediction is the source mean, in the unit of the source tasks of the same task, data set and
   recipe. If there are none, it only ranks.
3. A support set: a prior mean proportional to the source mean, and two regressions on what it misses, see
   `support_model`. The prior mean is flatter if no source task covers the query's networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from predictor.label_set import Floats, LabelSet
from predictor.models.base import (
    MIN_SUPPORT,
    Arrays,
    Model,
    ModelError,
    NothingKnownError,
    Prediction,
    State,
    register,
    require,
)
from predictor.models.source_ensemble import (
    SourceEnsemble,
    SourceSelection,
    combine,
    normalised,
    task_weights,
)
from predictor.models.support_model import Inputs, SupportModel, SupportSettings
from predictor.networks.fitting import Checkpointer, NoCheckpointer, TrainingSettings
from predictor.networks.multi_head import FIT_SETTINGS, UPDATE_SETTINGS

_UNINFORMATIVE = 1.0  # variance of a source score that says no more than the mean label
_TINY = 1e-12


class TransferSettings(SupportSettings, frozen=True, extra="forbid"):
    """The constants that relate a query task to the source tasks, those of its support model, and its parts."""

    slope: float = Field(0.5, ge=0, lt=1, description="Prior mean of the slope on the source mean, in deviations.")
    half_slope_variance: float = Field(0.2, gt=0, description="Variance of the best source task that halves the slope.")
    same_networks: bool = Field(True, description="Whether labels of the same networks replace a source task's score.")
    sources: bool = Field(True, description="Whether source tasks are used with a support set.")


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    """columns: indices of the source scores that the model uses."""

    columns: NDArray[np.int64]
    model: SupportModel


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """posterior: None if the support set has too few labels."""

    selection: SourceSelection
    posterior: _Posterior | None


@register
class TransferModel(Model):
    """See the module."""

    name = "default"
    fit_settings: ClassVar[TrainingSettings] = FIT_SETTINGS  # of the graph network
    update_settings: ClassVar[TrainingSettings] = UPDATE_SETTINGS
    settings: ClassVar[TransferSettings] = TransferSettings.model_validate({})

    @classmethod
    def variant(cls, settings: Mapping[str, str]) -> type[Model]:
        """See `Model.variant`; the settings are those of `TransferSettings`."""
        try:
            checked = TransferSettings.model_validate(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            known = ", ".join(TransferSettings.model_fields)
            reason = f"setting '{first['loc'][0]}': {first['msg']}: the settings are {known}"
            raise ModelError(f"model {cls.name}: {reason}") from None
        return type(cls.__name__, (cls,), {"settings": checked})

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._fitted: SourceEnsemble | None = None
        self._adapted: _Adapted | None = None

    @property
    def sources(self) -> SourceEnsemble:
        """The source tasks. Raises ModelError before `fit`."""
        return require(self._fitted, self, "fit")

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """See `Model.fit`."""
        self._fitted = SourceEnsemble.fit(sources, self._seed, checkpointer or NoCheckpointer(), self.fit_settings)
        self._adapted = None

    def update(
        self, sources: Sequence[LabelSet], fresh: Sequence[NDArray[np.bool_]], checkpointer: Checkpointer | None = None
    ) -> None:
        """See `Model.update`."""
        if not self.sources.tasks:
            self.fit(sources, checkpointer)
            return
        self.sources.update(sources, fresh, checkpointer or NoCheckpointer(), self.update_settings)
        self._adapted = None

    def adapt(self, support: LabelSet) -> None:
        """See `Model.adapt`."""
        selection = self.sources.select(support)
        if len(support) >= MIN_SUPPORT:
            self._adapted = _Adapted(selection, self._fit_posterior(support, selection))
        elif self.sources.tasks:
            self._adapted = _Adapted(selection, None)
        else:
            raise NothingKnownError(support.name)

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        adapted = require(self._adapted, self, "adapt")
        selection, posterior = adapted.selection, adapted.posterior
        scores, variance = self.sources.scores(query, selection, self.settings.same_networks)
        if posterior is None:
            return self._predict_without_labels(scores, variance, selection)
        inputs = _inputs(query, scores, variance, selection, posterior.columns)
        return Prediction.from_quantiles(posterior.model.quantiles(inputs))

    def state(self) -> State:
        """See `Model.state`."""
        return self.sources.state()

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> TransferModel:
        """See `Model.restore`."""
        model = cls(settings["seed"])
        model._fitted = SourceEnsemble.restore(arrays, settings)
        return model

    def _fit_posterior(self, support: LabelSet, selection: SourceSelection) -> _Posterior:
        settings, columns = self.settings, np.zeros(0, np.int64)
        scores, variance = self.sources.scores(support, selection, settings.same_networks)
        slope = 0.0
        if selection.count and settings.sources:
            variances = self.sources.mean_variances(support, selection, settings.same_networks)
            columns = np.flatnonzero(variances < _UNINFORMATIVE)
            half = settings.half_slope_variance
            slope = settings.slope * half / (half + float(variances.min()))
        inputs = _inputs(support, scores, variance, selection, columns)
        return _Posterior(columns, SupportModel(inputs, support.values, slope, self._seed, settings))

    def _predict_without_labels(self, scores: Floats, variance: Floats, selection: SourceSelection) -> Prediction:
        """Predict from (n, columns) source scores and their variances alone."""
        mean, total_variance = combine(scores, variance, selection)
        if not selection.same_unit.any():
            return Prediction.ranking(mean)
        # Several tasks may have the query's unit; their transforms differ because their spaces do.
        weights = task_weights(variance, selection) * selection.same_unit
        shares = normalised(weights[:, : selection.count])
        total_variance = total_variance * (shares @ self.sources.error_factor[: selection.count])
        tasks = self.sources.tasks[: selection.count]
        quantiles = np.array([task.transform.quantiles(mean, np.sqrt(total_variance)) for task in tasks])
        average = np.einsum("ns,snq->nq", shares, quantiles)
        between = np.einsum("ns,sn->n", shares, (quantiles.mean(axis=2) - average.mean(axis=1)) ** 2)
        widening = np.sqrt(1 + between / np.maximum(average.var(axis=1), _TINY))[:, None]
        median = np.median(average, axis=1, keepdims=True)
        return Prediction.from_quantiles(median + widening * (average - median))


def _inputs(
    labels: LabelSet, scores: Floats, variance: Floats, selection: SourceSelection, columns: NDArray[np.int64]
) -> Inputs:
    """Return the inputs of a support model, which uses some columns of the (n, columns) scores and variances."""
    weights = task_weights(variance, selection)[:, columns] if len(columns) else np.zeros((len(labels), 0))
    used = scores[:, columns] if len(columns) else weights
    total = np.maximum(weights.sum(axis=1), _TINY)
    return Inputs(labels.table, used, (weights * used).sum(axis=1) / total)
