"""Forests of regression trees, with cross-validated errors that say how certain they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.model_selection import KFold

from predictor.label_set import Floats

Kind = Literal["extra", "random"]
_TREES = 300
_FEATURE_SHARE = 0.5  # of the columns that a split chooses from
_FOLDS = 10
_FOLD_TREES = 60  # of the forests that are tested on a fold: their mean error is as good, in a fifth of the time
_TINY = 1e-6


class Forest:
    """Extremely randomized trees (Geurts et al. 2006) or a random forest (Breiman 2001), on any columns.

    Out-of-bag errors would need bootstrap samples, with which extremely randomized trees are worse; so the errors are
    those of ten-fold cross-validation. NaN is replaced by the column's mean, and constant columns are ignored.
    """

    def __init__(self, table: Floats, values: Floats, seed: int, kind: Kind = "extra") -> None:
        """table: (n, columns). values: (n,), n at least 2."""
        self._used = np.ptp(np.nan_to_num(table), axis=0) > 0
        self._fill = _column_means(table[:, self._used])
        self._seed, self._kind = seed, kind
        columns = self._columns(table)
        self._held_out = np.empty(len(values))
        for fitted, tested in KFold(min(_FOLDS, len(values)), shuffle=True, random_state=seed).split(columns):
            forest = _fit(columns[fitted], values[fitted], self._seed, kind, _FOLD_TREES)
            self._held_out[tested] = forest.predict(columns[tested])
        self._forest = _fit(columns, values, seed, kind, _TREES)
        self.deviation = max(float(np.sqrt(((values - self._held_out) ** 2).mean())), _TINY)

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations; the deviation is that of the cross-validated errors."""
        return self._forest.predict(self._columns(table)), np.full(len(table), self.deviation)

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """Return (n,) cross-validated means and standard deviations of the labels it was fitted to."""
        return self._held_out, np.full(len(self._held_out), self.deviation)

    def _columns(self, table: Floats) -> Floats:
        if not self._used.any():
            return np.zeros((len(table), 1))
        used = table[:, self._used]
        return np.where(np.isfinite(used), used, self._fill)


def _fit(
    table: Floats, values: Floats, seed: int, kind: Kind, trees: int
) -> ExtraTreesRegressor | RandomForestRegressor:
    build = ExtraTreesRegressor if kind == "extra" else RandomForestRegressor
    return build(trees, max_features=_FEATURE_SHARE, random_state=seed, n_jobs=1).fit(table, values)


def _column_means(table: Floats) -> Floats:
    known = np.isfinite(table)
    mean: Floats = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean
