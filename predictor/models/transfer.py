"""The model `default`: transfer from many source tasks to a query task with few labels or none.

It is an ensemble in the spirit of RGPE (Feurer et al. 2018) and of transfer Gaussian processes, in three stages:

1. Source scores. Each source task scores a network, see `source_ensemble`. Their inverse-variance weighted mean is the
   source mean, in which related tasks count more.
2. No support set: the prediction is the source mean, in the unit of the source tasks of the same task, data set and
   recipe. If there are none, it only ranks, and networks that no source task covers are ranked by `cost_trend`.
3. A support set: a mixture of Gaussian processes and forests on the power-transformed labels, see `experts`. Some use
   graph statistics alone, others also the source scores; two have a prior mean proportional to the source mean. Weights
   and intervals follow held-out predictions, see `mixture`. If no source task covers the query's networks, those that
   use source scores have smaller prior weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

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
from predictor.models.experts import SupportSettings
from predictor.models.source_ensemble import (
    SourceEnsemble,
    SourceSelection,
    combine,
    normalised,
    task_weights,
)
from predictor.models.support_regression import SourceInputs, SupportRegression
from predictor.networks.fitting import Checkpointer, NoCheckpointer, TrainingSettings
from predictor.networks.multi_head import FIT_SETTINGS, UPDATE_SETTINGS

_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """regression: None if the support set has too few labels."""

    selection: SourceSelection
    regression: SupportRegression | None


@register
class TransferModel(Model):
    """See the module."""

    name = "default"
    settings: ClassVar[SupportSettings] = SupportSettings.model_validate({})
    fit_settings: ClassVar[TrainingSettings] = FIT_SETTINGS  # of the graph network
    update_settings: ClassVar[TrainingSettings] = UPDATE_SETTINGS

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._fitted: SourceEnsemble | None = None
        self._adapted: _Adapted | None = None

    @classmethod
    def variant(cls, settings: Mapping[str, str]) -> type[Model]:
        """See `Model.variant`; the settings are those of `SupportSettings`."""
        try:
            checked = SupportSettings.model_validate(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            known = ", ".join(SupportSettings.model_fields)
            reason = f"setting '{first['loc'][0]}': {first['msg']}: the settings are {known}"
            raise ModelError(f"model {cls.name}: {reason}") from None
        return type(cls.__name__, (cls,), {"settings": checked})

    @property
    def sources(self) -> SourceEnsemble:
        """The source tasks. Raises ModelError before `fit`."""
        return require(self._fitted, self, "fit")

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """See `Model.fit`."""
        self._fitted = SourceEnsemble.fit(sources, self._seed, checkpointer or NoCheckpointer(), self.fit_settings)
        self._adapted = None

    def take_fit(self, other: Model) -> bool:
        """See `Model.take_fit`. Settings are used by `adapt` alone."""
        if not isinstance(other, TransferModel):
            return False
        same = (self._seed, self.fit_settings) == (other._seed, other.fit_settings)
        if same:
            self._fitted, self._adapted = other.sources, None
        return same

    def update(
        self, sources: Sequence[LabelSet], fresh: Sequence[NDArray[np.bool_]], checkpointer: Checkpointer | None = None
    ) -> None:
        """See `Model.update`."""
        if not self.sources.tasks:
            self.fit(sources, checkpointer)
            return
        self.sources.update(sources, fresh, checkpointer or NoCheckpointer(), self.update_settings)
        self._adapted = None

    def extend(self, sources: Sequence[LabelSet]) -> None:
        """See `Model.extend`. Each set becomes a source task: a process, and a head of the graph network."""
        self.sources.extend(sources)
        self._adapted = None

    def adapt(self, support: LabelSet) -> None:
        """See `Model.adapt`."""
        selection = self.sources.select(support)
        if len(support) >= MIN_SUPPORT:
            self._adapted = _Adapted(selection, self._fit_regression(support, selection))
        elif self.sources.tasks:
            self._adapted = _Adapted(selection, None)
        else:
            raise NothingKnownError(support.name)

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        adapted = require(self._adapted, self, "adapt")
        selection, regression = adapted.selection, adapted.regression
        scores, variance = self.sources.scores(query, selection)
        if regression is None:
            return self._predict_without_labels(scores, variance, selection, query.name)
        return regression(query.table, _source_columns(scores, variance, selection))

    def state(self) -> State:
        """See `Model.state`."""
        return self.sources.state()

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> TransferModel:
        """See `Model.restore`."""
        model = cls(settings["seed"])
        model._fitted = SourceEnsemble.restore(arrays, settings)
        return model

    def _fit_regression(self, support: LabelSet, selection: SourceSelection) -> SupportRegression:
        columns = _source_columns(*self.sources.scores(support, selection), selection)
        sources = SourceInputs(columns, *self.sources.support_variances(support, selection))
        return SupportRegression(support.table, sources, support.values, self._seed, self.settings)

    def _predict_without_labels(
        self, scores: Floats, variance: Floats, selection: SourceSelection, set_name: str
    ) -> Prediction:
        """Predict from (n, columns) source scores and their variances alone. set_name: of the query."""
        mean, total_variance = combine(scores, variance, selection)
        if not selection.same_unit.any():
            return Prediction.ranking(mean)
        # Several tasks may have the query's unit; their transforms differ because their spaces do.
        weights = task_weights(variance, selection) * selection.same_unit
        shares = normalised(weights[:, : selection.count])
        total_variance = total_variance * (shares @ self.sources.error_factor[: selection.count])
        tasks = self.sources.tasks[: selection.count]
        quantiles = np.array([task.transform.quantiles(mean, np.sqrt(total_variance)) for task in tasks])
        quantiles += np.array([task.offsets.get(set_name, 0.0) for task in tasks])[:, None, None]
        average = np.einsum("ns,snq->nq", shares, quantiles)
        between = np.einsum("ns,sn->n", shares, (quantiles.mean(axis=2) - average.mean(axis=1)) ** 2)
        widening = np.sqrt(1 + between / np.maximum(average.var(axis=1), _TINY))[:, None]
        median = np.median(average, axis=1, keepdims=True)
        return Prediction.from_quantiles(median + widening * (average - median))


def _source_columns(scores: Floats, variance: Floats, selection: SourceSelection) -> Floats:
    """Return (n, tasks + 1): all source scores and their weighted mean; no column if there are no tasks.

    The trend with cost is left out: statistics contain FLOPs and parameters, and few labels show what they are worth.
    """
    if not selection.count:
        return scores
    scores, variance = scores[:, : selection.count], variance[:, : selection.count]
    weights = task_weights(variance, selection.without_trend())
    return np.column_stack([scores, (weights * scores).sum(axis=1)])
