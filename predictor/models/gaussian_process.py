"""Gaussian processes on columns of a table, on top of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Kernel, Matern, WhiteKernel
from threadpoolctl import ThreadpoolController

from predictor.label_set import PROXIES, Floats

_MAX_TUNING_LABELS = 200  # to find hyper-parameters, which takes many factorisations; a prediction takes one


class Columns(Kernel):  # type: ignore[misc]
    """A kernel on the columns from `start` to before `stop`; scikit-learn has none."""

    def __init__(self, kernel: Kernel, start: int, stop: int) -> None:
        self.kernel, self.start, self.stop = kernel, start, stop

    def __call__(self, x: Floats, y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """Return (n, m) covariances, and their gradient if requested."""
        other = None if y is None else y[:, self.start : self.stop]
        return self.kernel(x[:, self.start : self.stop], other, eval_gradient=eval_gradient)

    def diag(self, x: Floats) -> Any:
        """Return (n,) variances."""
        return self.kernel.diag(x[:, self.start : self.stop])

    def is_stationary(self) -> bool:
        """Return whether the wrapped kernel is stationary."""
        return bool(self.kernel.is_stationary())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"kernel": self.kernel, "start": self.start, "stop": self.stop}

    def clone_with_theta(self, theta: Floats) -> Columns:
        """Return a copy with other hyper-parameters."""
        return Columns(self.kernel.clone_with_theta(theta), self.start, self.stop)

    @property
    def theta(self) -> Floats:
        """Return the logarithms of the hyper-parameters."""
        theta: Floats = self.kernel.theta
        return theta

    @theta.setter
    def theta(self, theta: Floats) -> None:
        self.kernel.theta = theta

    @property
    def bounds(self) -> Floats:
        """Return (hyper-parameters, 2): logarithms of the lowest and highest values."""
        bounds: Floats = self.kernel.bounds
        return bounds

    @property
    def hyperparameters(self) -> Any:
        """Return those of the wrapped kernel."""
        return self.kernel.hyperparameters


def linear(start: int, stop: int, variance: float) -> Kernel:
    """Return the kernel of a linear function of some columns, with this prior variance."""
    return Columns(ConstantKernel(variance / (stop - start), (1e-6, 10.0)) * DotProduct(0.0, "fixed"), start, stop)


def rbf(start: int, stop: int, variance: float, length: float) -> Kernel:
    """Return the kernel of a smooth function of some columns, with this prior variance and length scale."""
    bounds = (length / 8, length * 8)
    return Columns(ConstantKernel(variance, (1e-4, 10.0)) * RBF(length, bounds), start, stop)


def matern32(start: int, stop: int, variance: float, length: float) -> Kernel:
    """Return the kernel of a function with kinks, which generalises less far than `rbf`."""
    bounds = (length / 8, length * 8)
    return Columns(ConstantKernel(variance, (1e-4, 10.0)) * Matern(length, bounds, nu=1.5), start, stop)


class Process:
    """A Gaussian process with noise; its hyper-parameters maximise the marginal likelihood of some of the labels."""

    def __init__(self, kernel: Kernel, table: Floats, values: Floats, seed: int, theta: Floats | None = None) -> None:
        """table: (n, columns), standardised. values: (n,), in any unit. theta: known hyper-parameters, not fitted."""
        with _one_thread(), warnings.catch_warnings():
            # Bounds are priors here, and with few labels the optimum is often at a bound.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regressor = _fit(_noisy(kernel), table, values, seed, theta)
        self._state = {
            "table": table,
            "values": values,
            "theta": self._regressor.kernel_.theta if theta is None else theta,
        }

    def state(self) -> dict[str, Floats]:
        """Return the labels it was fitted to and its hyper-parameters, for `restore`."""
        return self._state

    @classmethod
    def restore(cls, kernel: Kernel, state: Mapping[str, Floats]) -> Process:
        """Inverse of `state`. kernel: the one given to the constructor."""
        return Process(kernel, state["table"], state["values"], 0, state["theta"])

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """Return (n,) posterior means and standard deviations of measured labels, noise included."""
        with _one_thread():
            mean, deviation = self._regressor.predict(table, return_std=True)
        return mean, deviation

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """Return (n,) leave-one-out means and standard deviations of the labels it was fitted to.

        In closed form, with hyper-parameters fitted to all labels (Rasmussen and Williams 2006, section 5.4.2).
        """
        regressor = self._regressor
        inverse = cho_solve((regressor.L_, True), np.eye(len(regressor.L_)))
        precision = np.diag(inverse)
        mean = regressor.y_train_ - inverse @ regressor.y_train_ / precision
        scale = regressor._y_train_std
        return mean * scale + regressor._y_train_mean, scale / np.sqrt(precision)


class ResidualProcess(Process):
    """A prior mean proportional to one column, and a Gaussian process on the residuals."""

    def __init__(
        self, kernel: Kernel, table: Floats, values: Floats, seed: int, column: int, prior_slope: float
    ) -> None:
        """See `Process`. prior_slope: change of the prior mean per unit of the column, in standard deviations."""
        self._column, self._slope = column, prior_slope * values.std()
        super().__init__(kernel, table, values - self._prior_mean(table), seed)

    def _prior_mean(self, table: Floats) -> Floats:
        mean: Floats = self._slope * table[:, self._column]
        return mean

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """See `Process`."""
        mean, deviation = super().__call__(table)
        return mean + self._prior_mean(table), deviation

    def held_out_predictions(self) -> tuple[Floats, Floats]:
        """See `Process.held_out_predictions`."""
        mean, deviation = super().held_out_predictions()
        return mean + self._prior_mean(self.state()["table"]), deviation


def _fit(kernel: Kernel, table: Floats, values: Floats, seed: int, theta: Floats | None) -> GaussianProcessRegressor:
    if theta is not None:
        fixed = GaussianProcessRegressor(kernel.clone_with_theta(theta), optimizer=None, normalize_y=True)
        return fixed.fit(table, values)
    regressor = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    regressor = regressor.fit(table[:_MAX_TUNING_LABELS], values[:_MAX_TUNING_LABELS])
    if len(values) > _MAX_TUNING_LABELS:
        regressor = GaussianProcessRegressor(regressor.kernel_, optimizer=None, normalize_y=True).fit(table, values)
    return regressor


def _one_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread: up to some thousand labels a second one gains nothing and keeps a core busy."""
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _noisy(kernel: Kernel) -> Kernel:
    return kernel + WhiteKernel(0.1, (0.02, 1.0))  # with less noise it would overfit twenty labels


def rbf_in_graphs(table: Floats, start: int, variance: float) -> Kernel:
    """Return the kernel of a smooth function of a graph's statistics and proxies.

    table: (n, columns), whose columns from `start` are those of `LabelSet.table`, standardised. Measured proxies get a
    term of their own, since they are few among many statistics.
    """
    return _add_terms(lambda first, stop: rbf(first, stop, variance, float(np.sqrt(stop - first))), table, start)


def matern32_in_graphs(table: Floats, start: int, variance: float) -> Kernel:
    """Return the kernel of a function with kinks of a graph's statistics and proxies, see `rbf_in_graphs`."""
    return _add_terms(lambda first, stop: matern32(first, stop, variance, float(np.sqrt(stop - first))), table, start)


def linear_in_graphs(table: Floats, start: int, variance: float) -> Kernel:
    """Return the kernel of a linear function of a graph's statistics and proxies, see `rbf_in_graphs`."""
    return _add_terms(lambda first, stop: linear(first, stop, variance), table, start)


def _add_terms(term: Callable[[int, int], Kernel], table: Floats, start: int) -> Kernel:
    """Add up one term for statistics and one for proxies. term: the kernel on columns from one to before another."""
    proxies, columns = table.shape[1] - len(PROXIES), table.shape[1]
    kernel = term(start, proxies)
    return kernel + term(proxies, columns) if table[:, proxies:].any() else kernel


def statistics_kernel(table: Floats) -> Kernel:
    """Return the kernel for `LabelSet.table` alone."""
    return linear_in_graphs(table, 0, 1.0) + rbf_in_graphs(table, 0, 1.0)


def statistics_hyperparameters(table: Floats) -> int:
    """Return the number of hyper-parameters of `statistics_kernel`, fewer if no proxy was measured."""
    return len(_noisy(statistics_kernel(table)).theta)


def statistics_process(table: Floats, values: Floats, seed: int) -> Process:
    """Return a process on graph statistics and proxies: `LabelSet.table`, standardised."""
    return Process(statistics_kernel(table), table, values, seed)
