"""The baseline `rgpe`: a ranking-weighted ensemble of Gaussian processes (Feurer et al. 2018, arXiv 1802.02219)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictor.label_set import Floats, LabelSet
from predictor.models.base import MIN_SUPPORT, Model, NothingKnownError, Prediction, register, require
from predictor.models.gaussian_process import Process, statistics_process
from predictor.models.scaling import PowerTransform, Standardiser
from predictor.networks.fitting import Checkpointer

_MAX_LABELS = 400  # of a source task's process
_DRAWS = 200  # of the posteriors whose ranking losses are compared
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    transform: PowerTransform
    scale: Standardiser
    process: Process

    @classmethod
    def of(cls, labels: LabelSet, seed: int) -> _Member:
        rows = np.random.default_rng(seed).permutation(len(labels))[:_MAX_LABELS]
        transform, table = PowerTransform.of(labels.values[rows]), labels.table[rows]
        scale = Standardiser.of(table)
        return cls(transform, scale, statistics_process(scale(table), transform(labels.values[rows]), seed))

    def __call__(self, labels: LabelSet) -> tuple[Floats, Floats]:
        return self.process(self.scale(labels.table))


@register
class RankingWeightedEnsemble(Model):
    """One process for each source task and one for the support set.

    A process's weight is how often, among draws from all posteriors, it misranks the fewest pairs of support labels;
    the support set's own process is judged by its leave-one-out predictions. Without labels all weights are equal.
    """

    name = "rgpe"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._sources: list[_Member] | None = None
        self._members: list[_Member] = []
        self._weights = np.zeros(0)
        self._transform: PowerTransform | None = None

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Fit a process to each source task."""
        self._sources = [_Member.of(source, self._seed) for source in sources if len(source) >= MIN_SUPPORT]

    def adapt(self, support: LabelSet) -> None:
        """Weight the processes."""
        self._members = list(require(self._sources, self, "fit"))
        self._transform = None
        if len(support) < MIN_SUPPORT:
            if not self._members:
                raise NothingKnownError(support.name)
            self._weights = np.full(len(self._members), 1 / len(self._members))
            return
        own = _Member.of(support, self._seed)
        self._transform = own.transform
        predictions = [member(support) for member in self._members] + [own.process.held_out_predictions()]
        self._members.append(own)
        self._weights = _ranking_weights(predictions, support.values, self._seed)

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        predictions = [member(query) for member in self._members]
        mean: Floats = np.sum([w * m for w, (m, _) in zip(self._weights, predictions, strict=True)], axis=0)
        if self._transform is None:
            return Prediction.ranking(mean)
        variance = np.sum([w**2 * d**2 for w, (_, d) in zip(self._weights, predictions, strict=True)], axis=0)
        return Prediction.from_quantiles(self._transform.quantiles(mean, np.sqrt(np.maximum(variance, _TINY))))


def _ranking_weights(predictions: list[tuple[Floats, Floats]], values: Floats, seed: int) -> Floats:
    """Return (members,) shares of draws in which each member misranks the fewest pairs; ties are shared."""
    rng = np.random.default_rng(seed)
    better = values[:, None] < values[None]
    losses = np.empty((len(predictions), _DRAWS))
    for member, (mean, deviation) in enumerate(predictions):
        draws = mean + deviation * rng.standard_normal((_DRAWS, len(values)))
        losses[member] = ((draws[:, :, None] >= draws[:, None]) & better).sum((1, 2))
    best = losses == losses.min(axis=0)
    weights: Floats = (best / best.sum(axis=0)).mean(axis=1)
    return weights
