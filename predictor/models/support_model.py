"""What few labels say about a task: a prior mean by the source tasks, and two regressions on what it misses.

The prior mean is proportional to the source tasks' mean score. An additive Gaussian process and a forest of extremely
randomized trees are fitted to the residuals, since one is right for smooth functions and the other for those with steps
and interactions. Their weights follow the density that each gave to held-out labels (Yao et al. 2018, stacking), under
a Dirichlet prior for equal weights. The same held-out errors calibrate the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field
from scipy.stats import norm
from scipy.stats import t as student

from predictor.label_set import PROXIES, Floats
from predictor.models.additive_process import AdditiveProcess, Term
from predictor.models.forest import Forest
from predictor.models.scaling import PowerTransform, Standardiser, variance_factor

_STACKING_STEPS = 100  # of expectation maximisation, which converges in a few dozen
_TINY = 1e-12


class SupportSettings(BaseModel, frozen=True, extra="forbid"):
    """The constants of the model, and its parts."""

    slope_deviation: float = Field(0.3, gt=0, description="Deviation of the prior of the slope on the source mean.")
    stacking_prior: float = Field(16.0, gt=0, description="Labels' worth of prior that both regressions are as good.")
    error_prior: float = Field(10.0, gt=0, description="Labels' worth of prior that errors are as large as predicted.")
    process: bool = Field(True, description="Whether there is a Gaussian process.")
    forest: bool = Field(True, description="Whether there is a forest.")


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What is known of n networks.

    graphs: (n, columns) of `LabelSet.table`. sources: (n, tasks) scores by source tasks, of which there may be none.
    mean: (n,) the source tasks' mean score; zeros without source tasks.
    """

    graphs: Floats
    sources: Floats
    mean: Floats

    @property
    def table(self) -> Floats:
        """Return (n, tasks + 1 + columns); without source tasks (n, columns)."""
        if not self.sources.shape[1]:
            return self.graphs
        return np.column_stack([self.sources, self.mean, self.graphs])


DEFAULTS = SupportSettings.model_validate({})


class SupportModel:
    """Fitted to the labels of a support set; predicts quantiles of labels."""

    def __init__(
        self, inputs: Inputs, values: Floats, slope: float, seed: int, settings: SupportSettings = DEFAULTS
    ) -> None:
        """values: (n,) labels. slope: most probable one before labels are known, see `_posterior_slope`."""
        self._transform = PowerTransform.of(values)
        scores = self._transform(values)
        self._mean_scale = Standardiser.of(inputs.mean[:, None])
        mean = self._mean_scale(inputs.mean[:, None])[:, 0]
        self._slope = _posterior_slope(mean, scores, slope, settings.slope_deviation)
        residuals = scores - self._prior_mean(inputs)
        self._scale = Standardiser.of(inputs.table)
        table = self._scale(inputs.table)
        with_process = settings.process or not settings.forest
        self._process = AdditiveProcess(_terms(inputs), table, residuals, seed) if with_process else None
        self._forest = Forest(inputs.table, residuals, seed) if settings.forest else None
        held_out = [part.held_out_predictions() for part in (self._process, self._forest) if part]
        self._weights = stacking_weights(held_out, residuals, settings.stacking_prior)
        mean, variance = _mixture(self._weights, held_out)
        factor = variance_factor((residuals - mean) ** 2 / variance, settings.error_prior)
        self._variance_factor = factor * _few_labels_factor(len(values))

    def quantiles(self, inputs: Inputs) -> Floats:
        """Return (n, quantiles) equally probable labels of each network."""
        predictions = [self._process(self._scale(inputs.table))] if self._process else []
        predictions += [self._forest(inputs.table)] if self._forest else []
        mean, variance = _mixture(self._weights, predictions)
        return self._transform.quantiles(mean + self._prior_mean(inputs), np.sqrt(variance * self._variance_factor))

    def _prior_mean(self, inputs: Inputs) -> Floats:
        mean: Floats = self._slope * self._mean_scale(inputs.mean[:, None])[:, 0]
        return mean


def _posterior_slope(mean: Floats, scores: Floats, prior: float, prior_deviation: float) -> float:
    """Return by how many deviations labels rise per deviation of the source tasks' mean.

    mean, scores: (n,), standardised. prior, prior_deviation: of a normal prior.
    """
    precision = 1 / prior_deviation**2
    noise = 1 - prior**2
    return float((prior * precision + mean @ scores / noise) / (precision + mean @ mean / noise)) if mean.any() else 0.0


def _terms(inputs: Inputs) -> list[Term]:
    """Return the terms of the process on the columns of `Inputs.table`, standardised."""
    tasks = inputs.sources.shape[1]
    first = tasks + 1 if tasks else 0
    stop = first + inputs.graphs.shape[1]
    proxies = stop - len(PROXIES)
    parts = [(first, proxies)]
    if np.isfinite(inputs.graphs[:, -len(PROXIES) :]).any():
        parts.append((proxies, stop))  # few columns, which would be lost among the statistics
    terms = [Term(kernel, *part, 0.5) for part in parts for kernel in ("linear", "rbf", "matern32")]
    if tasks:
        terms += [Term("linear", tasks, first, 0.1), Term("linear", 0, tasks, 0.5), Term("rbf", 0, tasks, 0.2)]
    return terms


def stacking_weights(held_out: list[tuple[Floats, Floats]], values: Floats, prior_labels: float) -> Floats:
    """Return (k,) weights with sum 1 that make held-out labels most probable, under a prior for equal weights.

    held_out: k pairs of (n,) means and standard deviations. values: (n,). prior_labels: strength of the prior.
    """
    density = np.column_stack([norm.pdf(values, mean, deviation) for mean, deviation in held_out]) + _TINY
    weights = np.full(len(held_out), 1 / len(held_out))
    prior = np.full(len(held_out), prior_labels / len(held_out))
    for _ in range(_STACKING_STEPS):
        share = weights * density
        share /= share.sum(axis=1, keepdims=True)
        weights = (share.sum(axis=0) + prior) / (len(values) + prior.sum())
    return weights


def _few_labels_factor(labels: int) -> float:
    """Return by how much variances grow because the labels' own deviation is estimated from few of them.

    It turns the normal 90 % interval into that of Student's distribution with `labels` - 1 degrees of freedom.
    """
    return float(student.ppf(0.95, labels - 1) / norm.ppf(0.95)) ** 2


def _mixture(weights: Floats, predictions: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Return (n,) means and variances of the mixture. predictions: k pairs of means and standard deviations."""
    mean: Floats = sum((w * m for w, (m, _) in zip(weights, predictions, strict=True)), np.zeros(1))
    within = (w * (d**2 + (m - mean) ** 2) for w, (m, d) in zip(weights, predictions, strict=True))
    variance: Floats = sum(within, np.zeros(1))
    return mean, variance
