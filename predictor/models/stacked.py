"""The model `default`: what other label sets would say of a network, weighed by a few labels of the one asked about.

A Gaussian process on graph statistics is learnt for each known set. Their predictions, brought to one scale, are the
opinions from which a few labels of a new set are explained, together with the statistics themselves. Three processes
try: on statistics, on opinions, on both. Each counts by its marginal likelihood, tempered, since twenty labels say
little of which is right: they share alike there, and with more labels sets that mislead are no longer listened to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from predictor.label_set import Floats, LabelSet
from predictor.models.base import FEW, Model, NothingKnownError, Prediction, register
from predictor.models.gaussian_process import Process, linear, smooth, statistics_process
from predictor.models.scaling import Standardiser

if TYPE_CHECKING:
    from predictor.networks.fitting import Journal

_FEWEST, _MOST = 30, 400  # labels of a set that is learnt from
_FAR = 3.0  # spreads outside, beyond which it makes no difference
_STRANGE = 30.0  # variance that one spread outside adds, in standard scores
_TEMPERATURE = 5.0  # 1 would be Bayes' rule, were one of the processes the truth


class Source:
    """One known set: standard scores of its labels as a function of graph statistics."""

    def __init__(self, known: LabelSet, seed: int) -> None:
        some = np.random.default_rng(seed).permutation(len(known))[:_MOST]
        table, values = known.statistics[some], known.values[some]
        self.task, self.data = known.task, known.data
        self.mean, self.deviation = float(values.mean()), float(values.std()) or 1.0
        self._low, self._high = table.min(axis=0), table.max(axis=0)
        self._scale = Standardiser.of(table)
        self._process = statistics_process(self._scale(table), (values - self.mean) / self.deviation, seed)

    def __call__(self, statistics: Floats) -> tuple[Floats, Floats]:
        """(n,) standard scores, and how unsure they are where networks are like those it learnt from."""
        return self._process(self._scale(statistics))

    def strangeness(self, statistics: Floats, spread: Floats) -> Floats:
        """(n,) how far networks lie outside of what was learnt from: root mean square over statistics, in `spread`s.

        A process alone does not tell: a statistic that never varied is nothing to it.
        """
        outside = np.maximum(np.maximum(self._low - statistics, statistics - self._high), 0.0)
        distance: Floats = np.sqrt((np.minimum(outside / spread, _FAR) ** 2).mean(axis=1))
        return distance


@register
class Stacked(Model):
    """See the module."""

    name = "default"

    def learn(self, sources: Sequence[LabelSet], journal: Journal | None = None) -> None:
        """See `Model.learn`."""
        self._sources = [Source(known, self._seed) for known in sources if len(known) >= _FEWEST]
        if sources:
            spread = np.concatenate([known.statistics for known in sources]).std(axis=0)
            self._spread = np.where(spread > 0, spread, 1.0)

    def adapt(self, few: LabelSet) -> None:
        """See `Model.adapt`."""
        self._experts: list[tuple[float, Process]] = []
        if len(few) < FEW:
            if not self._sources:
                raise NothingKnownError(few.name)
            self._alike = [s for s in self._sources if (s.task, s.data) == (few.task, few.data)]
            return
        self._scale = Standardiser.of(few.statistics)
        self._opinion_scale = Standardiser.of(self._opinions(few.statistics))
        processes = self._processes(self._table(few.statistics), few.values)
        evidence = np.array([process.evidence() for process in processes])
        weights = np.exp((evidence - evidence.max()) / _TEMPERATURE)
        self._experts = list(zip(weights / weights.sum(), processes, strict=True))

    def predict(self, asked: LabelSet) -> Prediction:
        """Without labels of the set: what others say, the surer the more, in the unit of those of its task and data."""
        if not self._experts:
            return self._without_labels(asked.statistics)
        table = self._table(asked.statistics)
        told = [(weight, *process(table)) for weight, process in self._experts]
        mean = np.sum([weight * m for weight, m, _ in told], axis=0)
        # Of the mixture: what each is unsure of, and how far they are apart.
        variance = np.sum([weight * (d**2 + (m - mean) ** 2) for weight, m, d in told], axis=0)
        return Prediction(mean, np.sqrt(variance))

    def _processes(self, table: Floats, values: Floats) -> list[Process]:
        opinions, columns = len(self._sources), table.shape[1]
        length = float(np.sqrt(columns - opinions))
        kernels = [linear(opinions, columns, 1.0) + smooth(opinions, columns, 1.0, length)]
        if opinions:
            heard = linear(0, opinions, 0.5)
            kernels.append(heard)
            kernels.append(heard + smooth(0, opinions, 0.1, 2.0) + smooth(opinions, columns, 0.3, length))
        return [Process(kernel, table, values, self._seed) for kernel in kernels]

    def _without_labels(self, statistics: Floats) -> Prediction:
        told = [source(statistics) for source in self._sources]
        scores, unsure = (np.array(part) for part in zip(*told, strict=True))
        strange = np.array([source.strangeness(statistics, self._spread) for source in self._sources])
        variance = unsure**2 + _STRANGE * strange**2
        trust = (1 / variance) / (1 / variance).sum(axis=0)
        score = (trust * scores).sum(axis=0)
        if not self._alike:
            return Prediction.score(score)
        mean, deviation = np.mean([(source.mean, source.deviation) for source in self._alike], axis=0)
        spread = np.sqrt((trust * (np.minimum(variance, 1.0) + (scores - score) ** 2)).sum(axis=0))
        return Prediction(mean + deviation * score, deviation * spread)

    def _opinions(self, statistics: Floats) -> Floats:
        """(n, sources)."""
        return np.array([source(statistics)[0] for source in self._sources]).reshape(-1, len(statistics)).T

    def _table(self, statistics: Floats) -> Floats:
        """(n, sources + statistics), standardised."""
        return np.hstack([self._opinion_scale(self._opinions(statistics)), self._scale(statistics)])
