"""Baselines for other models: cost alone, and regression on statistics of graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict

from predictor.label_set import Floats, LabelSet
from predictor.models.base import MIN_SUPPORT, Model, NothingKnownError, Prediction, register, require
from predictor.models.forest import Forest
from predictor.models.gaussian_process import statistics_process
from predictor.models.scaling import Standardiser
from predictor.networks.fitting import Checkpointer

_MAX_PROCESS_LABELS = 1000  # that a Gaussian process is fitted to: its time grows with their cube
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class _Line:
    """deviation: standard deviation of the residuals."""

    slope: float
    offset: float
    deviation: float


class _Cost(Model):
    """A straight line over the logarithm of a cost; without labels, the cost ranks."""

    column: ClassVar[str]

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._line: _Line | None = None

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Do nothing: the slope differs from set to set."""

    def adapt(self, support: LabelSet) -> None:
        """Fit the line by least squares."""
        self._line = None
        if len(support) >= MIN_SUPPORT:
            x = support.column(self.column)
            slope, offset = np.polyfit(x, support.values, 1) if np.ptp(x) else (0.0, support.values.mean())
            residuals = support.values - (slope * x + offset)
            deviation = float(np.sqrt((residuals**2).sum() / (len(support) - 2)))
            self._line = _Line(float(slope), float(offset), deviation)

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        x = query.column(self.column)
        if self._line is None:
            return Prediction.ranking(x)
        mean = self._line.slope * x + self._line.offset
        return Prediction(mean, np.full(len(query), self._line.deviation))


@register
class LogFlops(_Cost):
    """FLOPs alone."""

    name, column = "flops", "log_flops"


@register
class LogParams(_Cost):
    """Parameters alone."""

    name, column = "params", "log_params"


Regression = Callable[[Floats], tuple[Floats, Floats]]  # (n, columns) to (n,) means and standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class _FittedTable:
    scale: Standardiser
    regression: Regression


class _Table(Model):
    """Regression on standardised statistics; without labels, fitted to the source tasks in their own units."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._sources: list[LabelSet] | None = None
        self._adapted: _FittedTable | None = None

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Keep the source tasks: which of them are used depends on the query's task."""
        self._sources = list(sources)

    def adapt(self, support: LabelSet) -> None:
        """Fit to the support set, or without one to source tasks: those of the same task if there are any."""
        sources = require(self._sources, self, "fit")
        same_task = [source for source in sources if source.task == support.task]
        sets = [support] if len(support) >= MIN_SUPPORT else same_task or sources
        if sum(map(len, sets)) < MIN_SUPPORT:
            raise NothingKnownError(support.name)
        table = np.concatenate([one.table for one in sets])
        values = np.concatenate([one.values for one in sets])
        scale = Standardiser.of(table)
        self._adapted = _FittedTable(scale, self._fit_table(scale(table), values))

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        adapted = require(self._adapted, self, "adapt")
        return Prediction(*adapted.regression(adapted.scale(query.table)))

    def _fit_table(self, table: Floats, values: Floats) -> Regression:
        raise NotImplementedError


@register
class Trees(_Table):
    """Gradient-boosted trees; the standard deviation is that of cross-validation errors."""

    name = "trees"

    def _fit_table(self, table: Floats, values: Floats) -> Regression:
        folds = KFold(min(_FOLDS, len(values)), shuffle=True, random_state=self._seed)
        errors = values - cross_val_predict(self._trees(), table, values, cv=folds)
        deviation = float(np.sqrt((errors**2).mean()))
        trees = self._trees().fit(table, values)
        return lambda query: (trees.predict(query), np.full(len(query), deviation))

    def _trees(self) -> Any:
        return GradientBoostingRegressor(n_estimators=100, max_depth=3, subsample=0.7, random_state=self._seed)


@register
class TableProcess(_Table):
    """A Gaussian process."""

    name = "gp"

    def _fit_table(self, table: Floats, values: Floats) -> Regression:
        rows = np.random.default_rng(self._seed).permutation(len(values))[:_MAX_PROCESS_LABELS]
        return statistics_process(table[rows], values[rows], self._seed)


@register
class ExtraTrees(_Table):
    """Extremely randomized trees, see `Forest`."""

    name = "extra-trees"

    def _fit_table(self, table: Floats, values: Floats) -> Regression:
        return Forest(table, values, self._seed)


@register
class RandomForest(_Table):
    """A random forest, see `Forest`."""

    name = "random-forest"

    def _fit_table(self, table: Floats, values: Floats) -> Regression:
        return Forest(table, values, self._seed, "random")


@register
class ForestOnTasks(Model):
    """Extremely randomized trees on statistics and on the ranks that the same networks have in other sets."""

    name = "forest-tasks"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._ranks: list[dict[str, float]] | None = None
        self._forest: Forest | None = None

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Keep the rank, between 0 and 1, of each network in each set."""
        self._ranks = [
            dict(zip(source.architectures.tolist(), (rankdata(source.values) / len(source)).tolist(), strict=True))
            for source in sources
        ]

    def adapt(self, support: LabelSet) -> None:
        """Fit to the support set; without one it has no labels to predict from."""
        require(self._ranks, self, "fit")
        if len(support) < MIN_SUPPORT:
            raise NothingKnownError(support.name)
        self._forest = Forest(self._table(support), support.values, self._seed)

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        return Prediction(*require(self._forest, self, "adapt")(self._table(query)))

    def _table(self, labels: LabelSet) -> Floats:
        names = labels.architectures.tolist()
        ranks = [[ranks.get(name, np.nan) for name in names] for ranks in self._ranks or ()]
        return np.column_stack([labels.table, *ranks])
