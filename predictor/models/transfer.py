"""The model `default`: what other label sets would say of a network, weighed by a few labels of the one asked about.

Every known set gives an opinion: that of a network for graphs, learnt on all sets together, and that of a Gaussian
process on graph statistics, learnt on that set alone. The network knows more of graphs like those it has seen, the
process falls silent where it has seen none. The mean of all opinions, weighed by how sure they are, is what is said
without labels. From these a few labels of a new set are explained, together with the statistics themselves. Six
processes try: two on statistics, which share a vote, on FLOPs alone, on opinions, on statistics and opinions, and one
on what is missed by what would be said without labels. Each counts by its marginal likelihood, tempered, since twenty
labels say little of which is right: with five the last one counts more than the others together, with more labels sets
that mislead are no longer listened to. Opinions that are unsure of the networks at hand count less from the start; what
all these networks have in common, such as the head of a task that is new, does not make them so. How far labels are
missed, each left out in turn, says how wide intervals are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from predictor.features.statistics import STATISTICS
from predictor.label_set import Floats, LabelSet
from predictor.models.base import (
    MIN_SUPPORT,
    Arrays,
    Model,
    ModelError,
    NothingKnownError,
    Prediction,
    State,
    register,
    strip_prefix,
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
from predictor.models.small_tasks import SMALL, group_indices, merge_group, merge_small_tasks
from predictor.models.source_task import SourceTask

if TYPE_CHECKING:
    from predictor.networks.fitting import Checkpointer, TrainingSettings

_STRANGE = 30.0  # variance that one spread outside adds to a process, in standard scores
_STRANGE_TO_NETWORK = 300.0  # it says anything of graphs unlike those it has seen
_OTHER = 0.3  # variance that another task or data set adds where there are no labels
_APART = 1.0  # variance by which all other tasks and data together miss one that is known
_VOTES = np.array([0.5, 0.5, 1.0, 1.0, 1.0, 1.0])  # of the processes, before labels tell
_WITHOUT_OPINIONS = 3  # processes, the first
_SURE = 0.2  # variance of the surest opinion, in standard scores, at which opinions count half
_BELIEF = 0.5  # of what is said without labels, in deviations, until labels tell
_FAVOUR = 20.0  # labels, with which the process on what this misses has one vote; with fewer, more
_TINY = 1e-12


@register
class TransferModel(Model):
    """See the module."""

    name = "default"
    settings: ClassVar[TrainingSettings | None] = (
        None  # of the network's training; None: those of `predictor.networks.multi_head`
    )
    settings_more: ClassVar[TrainingSettings | None] = None  # of going on with it

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """See `Model.fit`."""
        from predictor.networks.fitting import NoCheckpointer
        from predictor.networks.multi_head import SETTINGS, fit_jointly

        learnt = merge_small_tasks(sources)
        self._known = [SourceTask(known, self._seed) for known in learnt]
        self._heard = [len(learnt)] * len(learnt)  # of each, how many of the first sets its task listens to
        if not learnt:
            return
        scores = [of.scores(known) for of, known in zip(self._known, learnt, strict=True)]
        chosen = self.settings or SETTINGS
        self._network, self._missed = fit_jointly(learnt, scores, self._seed, checkpointer or NoCheckpointer(), chosen)
        self._spread = _spread(sources)

    def update(
        self, sources: Sequence[LabelSet], fresh: Sequence[NDArray[np.bool_]], checkpointer: Checkpointer | None = None
    ) -> None:
        """See `Model.update`."""
        if not self._known:
            self.fit(sources, checkpointer)
            return
        parts = group_indices(sources)
        worth = [(merge_group(sources, part), np.concatenate([fresh[n] for n in part])) for part in parts]
        by_name = {one.name: (one, mask) for one, mask in [*zip(sources, fresh, strict=True), *worth]}
        names = [known.name for known in self._known]
        nothing = sources[0].take(np.arange(0)), np.zeros(0, np.bool_)
        # Small sets that were learnt as one have grown since, and are learnt each on its own.
        by_name |= {name: nothing for name in names if name.startswith(SMALL) and name not in by_name}
        if missing := [name for name in names if name not in by_name]:
            raise ModelError(f"set {missing[0]}: known, but not among the labels: train anew, or name its store")
        if any(by_name[name][1].any() for name in names):
            self._go_on([by_name[name] for name in names], checkpointer)
        added = [one for one, _ in worth if one.name not in names]
        for one in added:
            new = SourceTask(one, self._seed)
            self._network, missed = self._network.with_head(one, new.scores(one))
            self._known.append(new)
            self._missed = np.append(self._missed, missed)
        self._heard += [len(self._known)] * len(added)

    def _go_on(self, sets: Sequence[tuple[LabelSet, NDArray[np.bool_]]], checkpointer: Checkpointer | None) -> None:
        """With known sets, in their order, and which of their labels are new."""
        from predictor.networks.fitting import NoCheckpointer
        from predictor.networks.multi_head import MORE, update_jointly

        for number, (one, mask) in enumerate(sets):
            if mask.any():
                before = self._known[number]
                now = self._known[number] = SourceTask(one, self._seed, before)
                self._network.rescale(number, *_line(before.warp, now.warp))
                self._heard[number] = len(self._known)
        known, fresh = zip(*sets, strict=True)
        scores = [of.scores(one) for of, one in zip(self._known, known, strict=True)]
        chosen = self.settings_more or MORE
        self._missed = update_jointly(
            self._network, known, scores, fresh, self._seed, checkpointer or NoCheckpointer(), chosen
        )
        self._spread = _spread(known)

    def adapt(self, support: LabelSet) -> None:
        """See `Model.adapt`."""
        self._explained: Mixture | None = None
        self._listen_to(support)
        if len(support) >= MIN_SUPPORT:
            self._explain(support)
        elif not self._known:
            raise NothingKnownError(support.name)

    def _listen_to(self, support: LabelSet) -> None:
        """Say which sets are heard, and which are like the one asked about."""
        alike = np.array([one.alike(support) for one in self._known], np.bool_)
        self._hears = len(self._known)
        if len(support) < MIN_SUPPORT and alike.any():
            # A task does not listen to sets that were added after it was last learnt: they must not change it.
            self._hears = max(n for n, yes in zip(self._heard, alike, strict=True) if yes)
        self._in_unit = np.array([one.in_unit_of(support) for one in self._known[: self._hears]], np.bool_)
        # Where labels of the very recipe are known, those of another are like other data.
        self._alike = self._in_unit if self._in_unit.any() else alike[: self._hears]

    def _explain(self, support: LabelSet) -> None:
        self._scale = Standardiser.of(support.table)
        opinions, variance = self._opinions(support)
        heard = self._heard_of(opinions, variance)
        self._opinion_scale = Standardiser.of(heard)
        self._warp = PowerTransform.of(support.values)
        wanted = self._warp(support.values)
        processes = self._processes(self._table(support, heard), wanted)
        votes = _VOTES[: len(processes)].copy()
        if self._known:
            votes[_WITHOUT_OPINIONS:] *= _SURE / (_SURE + self._doubt(support))
            votes[-1] *= (_FAVOUR / len(support)) ** 2
        self._explained = Mixture(processes, votes, wanted)

    def predict(self, asked: LabelSet) -> Prediction:
        """Without labels of the set: what others say, the surer the more, in the unit of those it shares it with."""
        opinions, variance = self._opinions(asked)
        if self._explained is None:
            return self._without_labels(opinions, variance)
        table = self._table(asked, self._heard_of(opinions, variance))
        return Prediction.of(self._warp.spread(*self._explained(table)))

    def _processes(self, table: Floats, values: Floats) -> list[Process]:
        """table: of `_table`. Those that hear opinions are the last."""
        opinions = len(self._known)
        graphs = opinions + 1 if opinions else 0
        flops = graphs + STATISTICS.index("log_flops")
        kernels = [
            linear_in_graphs(table, graphs, 1.0) + rbf_in_graphs(table, graphs, 1.0),
            matern32_in_graphs(table, graphs, 1.0),
            linear(flops, flops + 1, 1.0),
        ]
        if not opinions:
            return [Process(kernel, table, values, self._seed) for kernel in kernels]
        heard = linear(0, opinions, 0.5)
        kernels += [heard, heard + rbf(0, opinions, 0.1, 2.0) + rbf_in_graphs(table, graphs, 0.3)]
        missed = linear(opinions, graphs, 0.1) + rbf_in_graphs(table, graphs, 0.1)
        last = ResidualProcess(missed, table, values, self._seed, opinions, _BELIEF)
        return [*(Process(kernel, table, values, self._seed) for kernel in kernels), last]

    def _without_labels(self, scores: Floats, variance: Floats) -> Prediction:
        trust, score = self._trusted(scores, variance)
        if not self._in_unit.any():
            return Prediction.score(score)
        variance = variance + _OTHER * ~self._alike
        spread = (trust * (np.minimum(variance, 1.0) + (scores - score[:, None]) ** 2)).sum(axis=1)
        # In the unit of sets of the same task, data and recipe, of which spaces differ.
        unit = _shares(trust * self._in_unit)
        told = np.array([known.warp.spread(score, np.sqrt(spread)) for known in self._known[: self._hears]])
        middle = np.einsum("ns,snq->nq", unit, told)
        apart = np.einsum("ns,sn->n", unit, (told.mean(axis=2) - middle.mean(axis=1)) ** 2)
        wider = np.sqrt(1 + apart / np.maximum(middle.var(axis=1), _TINY))[:, None]
        centre = np.median(middle, axis=1, keepdims=True)
        return Prediction.of(centre + wider * (middle - centre))

    def state(self) -> State:
        """See `Model.state`."""
        arrays: Arrays = {}
        if self._known:
            arrays = {f"network.{name}": value.cpu().numpy() for name, value in self._network.state_dict().items()}
            arrays |= {"missed": self._missed, "spread": self._spread}
        sets = []
        for number, known in enumerate(self._known):
            parts, told = known.state()
            arrays |= {f"known.{number}.{name}": value for name, value in parts.items()}
            sets.append(told)
        return arrays, {"seed": self._seed, "known": sets, "heard": self._heard if sets else []}

    @classmethod
    def restore(cls, arrays: Arrays, told: dict[str, Any]) -> TransferModel:
        """See `Model.restore`."""
        model = cls(told["seed"])
        sets = enumerate(told["known"])
        model._known = [SourceTask.restore(strip_prefix(arrays, f"known.{number}."), one) for number, one in sets]
        if model._known:
            from predictor.networks.multi_head import MultiHeadPredictor

            model._network = MultiHeadPredictor.restore(strip_prefix(arrays, "network."), len(model._known))
            model._missed, model._spread = arrays["missed"], arrays["spread"]
        model._heard = list(told.get("heard", [len(model._known)] * len(model._known)))
        return model

    def _opinions(self, asked: LabelSet) -> tuple[Floats, Floats]:
        """(n, sets listened to) standard scores, and the variance of what they miss."""
        heard = self._known[: self._hears]
        if not heard:
            return np.zeros((len(asked), 0)), np.zeros((len(asked), 0))
        statistics = asked.statistics
        by_process, unsure = self._by_processes(asked)
        ood = np.array([known.ood_distance(statistics, self._spread) for known in heard]).T
        of_process, of_network = self._variances(unsure, ood)
        by_network = self._network.scores(asked, len(heard))
        listened = of_process / (of_process + of_network)  # the surer the more
        return by_process + listened * (by_network - by_process), _of_mean(of_process, of_network)

    def _doubt(self, support: LabelSet) -> float:
        """Variance of the surest opinion, a mean over networks, apart from what makes all of them strange alike."""
        statistics, heard = support.statistics, self._known[: self._hears]
        ood = [known.ood_distance(known.shift_into_range(statistics), self._spread) for known in heard]
        of_process, of_network = self._variances(self._by_processes(support)[1], np.array(ood).T)
        return float(_of_mean(of_process, of_network).min(axis=1).mean())

    def _by_processes(self, asked: LabelSet) -> tuple[Floats, Floats]:
        """(n, sets listened to) standard scores and deviations."""
        columns = asked.table
        told = [known(columns) for known in self._known[: self._hears]]
        scores, unsure = (np.array(part).T for part in zip(*told, strict=True))
        return scores, unsure

    def _variances(self, unsure: Floats, ood: Floats) -> tuple[Floats, Floats]:
        """(n, sets listened to) of what processes and the network miss of networks so strange."""
        missed = self._missed[: unsure.shape[1]]
        return unsure**2 + _STRANGE * ood**2, missed + _STRANGE_TO_NETWORK * ood**2

    def _trusted(self, opinions: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """(n, sets) shares of trust, and (n,) the mean opinion by them."""
        alike = self._alike
        sure = 1 / (variance + _OTHER * ~alike)
        if alike.any() and not alike.all():
            # All others miss what sets this one apart: many together are no surer of it.
            together = 1 / (_APART + 1 / (1 / variance[:, ~alike]).sum(axis=1))
            sure[:, ~alike] = _shares(sure[:, ~alike]) * together[:, None]
        return (trust := _shares(sure)), (trust * opinions).sum(axis=1)

    def _heard_of(self, opinions: Floats, variance: Floats) -> Floats:
        """(n, sets + 1) all opinions and their mean; no column where nothing is known."""
        if not self._known:
            return opinions
        return np.column_stack([opinions, self._trusted(opinions, variance)[1]])

    def _table(self, asked: LabelSet, heard: Floats) -> Floats:
        """(n, sets + 1 + statistics), standardised."""
        return np.hstack([self._opinion_scale(heard), self._scale(asked.table)])


def _line(before: PowerTransform, now: PowerTransform) -> tuple[float, float]:
    """Slope and offset of the line next to what turns one warp's standard scores into the other's."""
    scores = np.linspace(-2.0, 2.0, 41)
    slope, offset = np.polyfit(scores, now(before.inverse(scores)), 1)
    return float(slope), float(offset)


def _of_mean(variance: Floats, other: Floats) -> Floats:
    """Variance of the mean of two opinions, in which the surer one counts the more."""
    of_both: Floats = 1 / (1 / variance + 1 / other)
    return of_both


def _spread(sources: Sequence[LabelSet]) -> Floats:
    """(statistics,) by how much each varies over all networks."""
    spread = np.concatenate([known.statistics for known in sources]).std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _shares(weights: Floats) -> Floats:
    """(n, sets), rows to the sum of 1."""
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares
