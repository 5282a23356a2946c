"""Gaussian processes on columns of a table: what a few labels can be spread with."""

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

_TINY = 1e-6
_TUNED_ON = 200  # labels, the first: hyper-parameters take many factorisations, what they are used for takes one


class Columns(Kernel):  # type: ignore[misc]
    """A kernel that sees only the columns from `start` to before `stop`; scikit-learn has none."""

    def __init__(self, kernel: Kernel, start: int, stop: int) -> None:
        self.kernel, self.start, self.stop = kernel, start, stop

    def __call__(self, x: Floats, y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """(n, m) covariances, and their gradient if asked."""
        other = None if y is None else y[:, self.start : self.stop]
        return self.kernel(x[:, self.start : self.stop], other, eval_gradient=eval_gradient)

    def diag(self, x: Floats) -> Any:
        """(n,) variances."""
        return self.kernel.diag(x[:, self.start : self.stop])

    def is_stationary(self) -> bool:
        """As the kernel it wraps."""
        return bool(self.kernel.is_stationary())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the constructor takes."""
        return {"kernel": self.kernel, "start": self.start, "stop": self.stop}

    def clone_with_theta(self, theta: Floats) -> Columns:
        """The same with other hyper-parameters."""
        return Columns(self.kernel.clone_with_theta(theta), self.start, self.stop)

    @property
    def theta(self) -> Floats:
        """Logarithms of the hyper-parameters."""
        theta: Floats = self.kernel.theta
        return theta

    @theta.setter
    def theta(self, theta: Floats) -> None:
        self.kernel.theta = theta

    @property
    def bounds(self) -> Floats:
        """(hyper-parameters, 2)."""
        bounds: Floats = self.kernel.bounds
        return bounds

    @property
    def hyperparameters(self) -> Any:
        """As the kernel it wraps."""
        return self.kernel.hyperparameters


def linear(start: int, stop: int, variance: float) -> Kernel:
    """A linear function of some columns, with this prior variance."""
    return Columns(ConstantKernel(variance / (stop - start), (1e-6, 10.0)) * DotProduct(0.0, "fixed"), start, stop)


def rbf(start: int, stop: int, variance: float, length: float) -> Kernel:
    """A smooth function of some columns, with this prior variance and length."""
    bounds = (length / 8, length * 8)
    return Columns(ConstantKernel(variance, (1e-4, 10.0)) * RBF(length, bounds), start, stop)


def matern32(start: int, stop: int, variance: float, length: float) -> Kernel:
    """As `rbf`, of a function with kinks, which spreads labels less far."""
    bounds = (length / 8, length * 8)
    return Columns(ConstantKernel(variance, (1e-4, 10.0)) * Matern(length, bounds, nu=1.5), start, stop)


class Process:
    """A Gaussian process with noise, its hyper-parameters by marginal likelihood of some of the labels."""

    def __init__(self, kernel: Kernel, table: Floats, values: Floats, seed: int) -> None:
        """table: (n, columns), standardised. values: (n,), in any unit."""
        process = GaussianProcessRegressor(_noisy(kernel), normalize_y=True, random_state=seed)
        with _one_thread(), warnings.catch_warnings():
            # Bounds are priors here, and few labels often end at one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._fitted = process.fit(table[:_TUNED_ON], values[:_TUNED_ON])
            if len(values) > _TUNED_ON:
                found = GaussianProcessRegressor(self._fitted.kernel_, optimizer=None, normalize_y=True)
                self._fitted = found.fit(table, values)
        self._state = {"table": table, "values": values, "theta": self._fitted.kernel_.theta}

    def state(self) -> dict[str, Floats]:
        """What it learnt from and the hyper-parameters it found; `restore` reads it."""
        return self._state

    @classmethod
    def restore(cls, kernel: Kernel, state: Mapping[str, Floats]) -> Process:
        """Inverse of `state`. kernel: as given to the constructor."""
        process = cls.__new__(cls)
        whole = _noisy(kernel).clone_with_theta(state["theta"])
        found = GaussianProcessRegressor(whole, optimizer=None, normalize_y=True)
        with _one_thread():
            process._fitted = found.fit(state["table"], state["values"])
        process._state = dict(state)
        return process

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """(n,) means and deviations, those of a measured label."""
        with _one_thread():
            mean, deviation = self._fitted.predict(table, return_std=True)
        return mean, deviation

    def loo_predictions(self) -> tuple[Floats, Floats]:
        """(n,) means and deviations of the labels it learnt from, each by all others.

        In closed form, with settings found from all (Rasmussen and Williams 2006, section 5.4.2).
        """
        fitted = self._fitted
        inverse = cho_solve((fitted.L_, True), np.eye(len(fitted.L_)))
        sure = np.diag(inverse)
        mean = fitted.y_train_ - inverse @ fitted.y_train_ / sure
        scale = fitted._y_train_std
        return mean * scale + fitted._y_train_mean, scale / np.sqrt(sure)

    def log_marginal_likelihood(self) -> float:
        """Log marginal likelihood of the labels, standardised, so that processes on the same labels can be compared."""
        return float(self._fitted.log_marginal_likelihood_value_)


class ResidualProcess(Process):
    """One column of the table, believed in part, and a process on what that misses of the labels."""

    def __init__(self, kernel: Kernel, table: Floats, values: Floats, seed: int, column: int, belief: float) -> None:
        """As `Process`. belief: by how many deviations labels differ where the column does by one."""
        self._column, self._belief = column, belief * values.std()
        missed = values - self._believed(table)
        super().__init__(kernel, table, missed, seed)
        self._gained = len(values) * float(np.log(max(values.std(), _TINY) / max(missed.std(), _TINY)))

    def _believed(self, table: Floats) -> Floats:
        believed: Floats = self._belief * table[:, self._column]
        return believed

    def __call__(self, table: Floats) -> tuple[Floats, Floats]:
        """See `Process`."""
        mean, deviation = super().__call__(table)
        return mean + self._believed(table), deviation

    def loo_predictions(self) -> tuple[Floats, Floats]:
        """See `Process.loo_predictions`."""
        mean, deviation = super().loo_predictions()
        return mean + self._believed(self.state()["table"]), deviation

    def log_marginal_likelihood(self) -> float:
        """That of the labels, as `Process` has it, not of what is missed of them: the unit is theirs."""
        return super().log_marginal_likelihood() + self._gained


def _one_thread() -> AbstractContextManager[object]:
    """A second thread of BLAS wins nothing up to some thousand labels, and spins in its waits: others use the core."""
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _noisy(kernel: Kernel) -> Kernel:
    return kernel + WhiteKernel(0.1, (0.02, 1.0))  # with less noise a score of labels is learnt by heart


def rbf_in_graphs(table: Floats, start: int, variance: float) -> Kernel:
    """A smooth function of what `LabelSet.table` has, standardised, in the columns from `start`.

    Proxies have a part of their own, where any were measured: they are few among many statistics.
    """
    return _in_parts(lambda first, stop: rbf(first, stop, variance, float(np.sqrt(stop - first))), table, start)


def matern32_in_graphs(table: Floats, start: int, variance: float) -> Kernel:
    """The same for a function with kinks."""
    return _in_parts(lambda first, stop: matern32(first, stop, variance, float(np.sqrt(stop - first))), table, start)


def linear_in_graphs(table: Floats, start: int, variance: float) -> Kernel:
    """The same for a linear function."""
    return _in_parts(lambda first, stop: linear(first, stop, variance), table, start)


def _in_parts(part: Callable[[int, int], Kernel], table: Floats, start: int) -> Kernel:
    """part: a kernel on the columns from one to before another."""
    proxies, columns = table.shape[1] - len(PROXIES), table.shape[1]
    kernel = part(start, proxies)
    return kernel + part(proxies, columns) if table[:, proxies:].any() else kernel


def statistics_kernel(table: Floats) -> Kernel:
    """For statistics of graphs and proxies alone."""
    return linear_in_graphs(table, 0, 1.0) + rbf_in_graphs(table, 0, 1.0)


def statistics_hyperparameters(table: Floats) -> int:
    """How many a process of `statistics_kernel` finds: fewer where no proxy was measured."""
    return len(_noisy(statistics_kernel(table)).theta)


def statistics_process(table: Floats, values: Floats, seed: int) -> Process:
    """On statistics of graphs and proxies alone: `LabelSet.table`, standardised."""
    return Process(statistics_kernel(table), table, values, seed)
