"""Forests of regression trees whose out-of-bag errors say how certain they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from predictor.label_set import Floats

Kind = Literal["extra", "random"]
_TREES = 300
_FEATURE_SHARE = 0.5  # of the columns that a split chooses from
_TINY = 1e-6
_DECIMALS = 3  # of standard scores; other processors and numbers of threads differ by some millionths
# Labels are multiples of a power of two, so that sums of them are exact: with few labels many splits divide them alike,
# and otherwise the rounding errors of a processor would choose between these.
_STEP = 2.0**-20


class Forest:
    """Extremely randomized trees (Geurts et al. 2006) or a random forest (Breiman 2001), on any columns.

    Each tree is fitted to a bootstrap sample; the labels outside it test the tree. NaN is replaced by the column's
    mean. Columns that are constant in the labels are ignored.
    """

    def __init__(self, table: Floats, values: Floats, seed: int, kind: Kind = "extra") -> None:
        """table: (n, columns). values: (n,)."""
        values = np.round(values / _STEP) * _STEP
        self._used = np.ptp(np.nan_to_num(table), axis=0) > 0
        self._fill = _column_means(table[:, self._used])
        build = ExtraTreesRegressor if kind == "extra" else RandomForestRegressor
        self._trees = build(
            _TREES, max_features=_FEATURE_SHARE, bootstrap=True, oob_score=True, random_state=seed, n_jobs=1
        )
        self._constant: float | None = None
        if not self._used.any():
            self._constant = float(values.mean())
            self._out_of_bag = np.full(len(values), self._constant)
        else:
            self._trees.fit(self._columns(table), values)
            self._out_of_bag = self._trees.oob_prediction_
        self.deviation = max(float(np.sqrt(((values - self._out_of_bag) ** 2).mean())), _TINY)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations; the deviation is that of out-of-bag errors."""
        if self._constant is not None:
            mean = np.full(len(table), self._constant)
        else:
            mean = self._trees.predict(self._columns(table))
        return mean, np.full(len(table), self.deviation)

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """Return (n,) out-of-bag means and standard deviations of the labels it was fitted to."""
        return self._out_of_bag, np.full(len(self._out_of_bag), self.deviation)

    def _columns(self, table: Floats) -> Floats:
        used = table[:, self._used]
        return np.where(np.isfinite(used), used, self._fill)


class ResidualForest:
    """A prior mean proportional to one column, and a forest on the residuals that uses some of the columns."""

    def __init__(
        self, table: Floats, values: Floats, seed: int, columns: NDArray[np.int64], mean_column: int, slope: float
    ) -> None:
        """table: (n, all columns). values: (n,). columns: indices. slope: of the prior mean; 0 for none."""
        self._columns, self._mean_column, self._slope = columns, mean_column, slope
        self._prior = self._prior_mean(table)
        self._forest = Forest(_rounded(table[:, columns]), values - self._prior, seed)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """See `Forest`. table: (n, all columns)."""
        mean, deviation = self._forest(_rounded(table[:, self._columns]))
        return mean + self._prior_mean(table), deviation

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """See `Forest`."""
        mean, deviation = self._forest.held_out_predictions()
        return mean + self._prior, deviation

    def _prior_mean(self, table: Floats) -> Floats:
        return _rounded(self._slope * table[:, self._mean_column])


def _rounded(table: Floats) -> Floats:
    """Round standard scores. With few labels many splits are equally good, and rounding errors would choose."""
    return np.round(table, _DECIMALS)


def _column_means(table: Floats) -> Floats:
    known = np.isfinite(table)
    mean: Floats = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean
