"""The model `default`: transfer from many source tasks to a query task with few labels or none.

It is an ensemble in the spirit of RGPE (Feurer et al. 2018) and of transfer Gaussian processes, in three stages:

1. Source scores. Each source task scores a network, see `source_ensemble`. Their inverse-variance weighted mean is the
   source mean, in which related tasks count more.
2. No support set: the prediction is the source mean, in the unit of the source tasks of the same task, data set and
   recipe. If there are none, it only ranks, and networks that no source task covers are ranked by `cost_trend`.
3. A support set: a mixture of six Gaussian processes on the power-transformed labels. Two use graph statistics (RBF and
   Matern kernel; they share one prior weight), one uses FLOPs alone, one the source scores, one source scores and
   statistics. The last is a residual process: its prior mean is proportional to the source mean. Each weight is a prior
   weight times the tempered marginal likelihood, see `mixture`, because twenty labels are little evidence for one
   process. With five labels the residual process dominates; with more, misleading source tasks lose their weight. If
   no source task covers the query's networks, all processes on source scores have a smaller prior weight. Leave-one-out
   errors calibrate the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats, LabelSet
from predictor.models.base import (
    MIN_SUPPORT,
    Arrays,
    Model,
    NothingKnownError,
    Prediction,
    State,
    register,
    require,
)
from predictor.models.gaussian_process import (
    Process,
    ResidualProcess,
    linear,
    linear_in_graphs,
    matern32_in_graphs,
    rbf,
    rbf_in_graphs,
)
from predictor.models.mixture import Mixture
from predictor.models.scaling import PowerTransform, Standardiser
from predictor.models.source_ensemble import (
    SourceEnsemble,
    SourceSelection,
    combine,
    normalised,
    task_weights,
)
from predictor.networks.fitting import Checkpointer, NoCheckpointer, TrainingSettings
from predictor.networks.multi_head import FIT_SETTINGS, UPDATE_SETTINGS

_PRIOR_WEIGHTS = np.array([0.5, 0.5, 1.0, 1.0, 1.0, 1.0])  # of the processes
_FIRST_ON_SOURCES = 3  # index of the first process that uses source scores
_HALF_WEIGHT_VARIANCE = 0.2  # min_source_variance that halves the prior weight of processes on source scores
_PRIOR_SLOPE = 0.5  # of the residual process: standard deviations of the labels per deviation of the source mean
_RESIDUAL_LABELS = 20.0  # support labels with which the residual process has prior weight 1; with fewer it has more
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    """What was fitted to a support set. graph_scale, source_scale: of the two parts of the mixture's inputs."""

    graph_scale: Standardiser
    source_scale: Standardiser
    transform: PowerTransform
    mixture: Mixture


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
        scores, variance = self.sources.scores(query, selection, same_networks=False)
        if posterior is None:
            return self._predict_without_labels(scores, variance, selection)
        table = np.hstack(
            [
                posterior.source_scale(_source_columns(scores, variance, selection)),
                posterior.graph_scale(query.table),
            ]
        )
        return Prediction.from_quantiles(posterior.transform.quantiles(*posterior.mixture(table)))

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
        graph_scale = Standardiser.of(support.table)
        scores, variance = self.sources.scores(support, selection, same_networks=False)
        columns = _source_columns(scores, variance, selection)
        source_scale = Standardiser.of(columns)
        transform = PowerTransform.of(support.values)
        values = transform(support.values)
        table = np.hstack([source_scale(columns), graph_scale(support.table)])
        processes = _processes(table, values, selection.count, self._seed)
        weights = _PRIOR_WEIGHTS[: len(processes)].copy()
        if selection.count:
            source_variance = self.sources.min_source_variance(support, selection)
            weights[_FIRST_ON_SOURCES:] *= _HALF_WEIGHT_VARIANCE / (_HALF_WEIGHT_VARIANCE + source_variance)
            weights[-1] *= (_RESIDUAL_LABELS / len(support)) ** 2
        return _Posterior(graph_scale, source_scale, transform, Mixture(processes, weights, values))

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


def _source_columns(scores: Floats, variance: Floats, selection: SourceSelection) -> Floats:
    """Return (n, tasks + 1): all source scores and their weighted mean; no column if there are no tasks.

    The trend with cost is left out: statistics contain FLOPs and parameters, and few labels show what they are worth.
    """
    if not selection.count:
        return scores
    scores, variance = scores[:, : selection.count], variance[:, : selection.count]
    weights = task_weights(variance, selection.without_trend())
    return np.column_stack([scores, (weights * scores).sum(axis=1)])


def _processes(table: Floats, values: Floats, tasks: int, seed: int) -> list[Process]:
    """Return the processes, those on source scores last.

    table: (n, tasks + 1 + statistics): columns of `_source_columns` and of `LabelSet.table`, standardised. values: (n,)
    standard scores.
    """
    graphs = tasks + 1 if tasks else 0  # index of the first column of `LabelSet.table`
    flops = graphs + STATISTICS.index("log_flops")
    kernels = [
        linear_in_graphs(table, graphs, 1.0) + rbf_in_graphs(table, graphs, 1.0),
        matern32_in_graphs(table, graphs, 1.0),
        linear(flops, flops + 1, 1.0),
    ]
    if not tasks:
        return [Process(kernel, table, values, seed) for kernel in kernels]
    on_scores = linear(0, tasks, 0.5)
    kernels += [on_scores, on_scores + rbf(0, tasks, 0.1, 2.0) + rbf_in_graphs(table, graphs, 0.3)]
    residual = linear(tasks, graphs, 0.1) + rbf_in_graphs(table, graphs, 0.1)
    last = ResidualProcess(residual, table, values, seed, tasks, _PRIOR_SLOPE)
    return [*(Process(kernel, table, values, seed) for kernel in kernels), last]
