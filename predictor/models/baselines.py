"""What any predictor must beat: cost alone, and models of tables on statistics of graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict

from predictor.label_set import Floats, LabelSet
from predictor.models.base import MIN_SUPPORT, Model, NothingKnownError, Prediction, register
from predictor.models.gaussian_process import statistics_process
from predictor.models.scaling import Standardiser

if TYPE_CHECKING:
    from predictor.networks.fitting import Checkpointer

_MOST = 1000  # labels that a Gaussian process learns from: its time grows with their cube
_FOLDS = 5


class _Cost(Model):
    """A straight line over the logarithm of a cost; without labels, the cost ranks."""

    column: ClassVar[str]

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Nothing: the slope is another one for every set."""

    def adapt(self, support: LabelSet) -> None:
        """Least squares over the labels at hand."""
        self._line: tuple[float, float, float] | None = None
        if len(support) >= MIN_SUPPORT:
            x = support.column(self.column)
            slope, offset = np.polyfit(x, support.values, 1) if np.ptp(x) else (0.0, support.values.mean())
            left = support.values - (slope * x + offset)
            self._line = (float(slope), float(offset), float(np.sqrt((left**2).sum() / (len(support) - 2))))

    def predict(self, asked: LabelSet) -> Prediction:
        """See `Model.predict`."""
        x = asked.column(self.column)
        if self._line is None:
            return Prediction.score(x)
        slope, offset, deviation = self._line
        return Prediction(slope * x + offset, np.full(len(asked), deviation))


@register
class LogFlops(_Cost):
    """FLOPs alone."""

    name, column = "flops", "log_flops"


@register
class LogParams(_Cost):
    """Parameters alone."""

    name, column = "params", "log_params"


class _Table(Model):
    """On standardised statistics; without labels, on those of all sources in their own units."""

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Remember them: what is learnt from them depends on the task asked about."""
        self._sources = list(sources)

    def adapt(self, support: LabelSet) -> None:
        """Learn from the labels at hand, or from other sets where there is none."""
        learnt = (
            [support]
            if len(support) >= MIN_SUPPORT
            else [s for s in self._sources if s.task == support.task] or self._sources
        )
        if sum(map(len, learnt)) < MIN_SUPPORT:
            raise NothingKnownError(support.name)
        table = np.concatenate([s.table for s in learnt])
        values = np.concatenate([s.values for s in learnt])
        self._scale = Standardiser.of(table)
        self._fit(self._scale(table), values)

    def _fit(self, table: Floats, values: Floats) -> None:
        raise NotImplementedError


@register
class Trees(_Table):
    """Gradient-boosted trees; the deviation is that of what they miss of labels left out in turn."""

    name = "trees"

    def _fit(self, table: Floats, values: Floats) -> None:
        folds = KFold(min(_FOLDS, len(values)), shuffle=True, random_state=self._seed)
        left = values - cross_val_predict(self._trees(), table, values, cv=folds)
        self._deviation = float(np.sqrt((left**2).mean()))
        self._fitted = self._trees().fit(table, values)

    def predict(self, asked: LabelSet) -> Prediction:
        """See `Model.predict`."""
        mean = self._fitted.predict(self._scale(asked.table))
        return Prediction(mean, np.full(len(asked), self._deviation))

    def _trees(self) -> Any:
        return GradientBoostingRegressor(n_estimators=100, max_depth=3, subsample=0.7, random_state=self._seed)


@register
class TableProcess(_Table):
    """A Gaussian process."""

    name = "gp"

    def _fit(self, table: Floats, values: Floats) -> None:
        some = np.random.default_rng(self._seed).permutation(len(values))[:_MOST]
        self._fitted = statistics_process(table[some], values[some], self._seed)

    def predict(self, asked: LabelSet) -> Prediction:
        """See `Model.predict`."""
        return Prediction(*self._fitted(self._scale(asked.table)))
