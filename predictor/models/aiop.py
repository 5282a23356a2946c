"""AIO-P as published (arXiv 2211.17228): a backbone pre-trained on classification, a K-Adapter for each other task."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from predictor.label_set import Floats, LabelSet
from predictor.models.base import (
    MIN_SUPPORT,
    Arrays,
    Model,
    NothingKnownError,
    Prediction,
    State,
    register,
    require,
    strip_prefix,
)
from predictor.models.scaling import standard_scores
from predictor.networks.aiop_network import Adapter, Backbone
from predictor.networks.batch import GraphBatch, best_device
from predictor.networks.examples import Examples
from predictor.networks.fitting import (
    Checkpointer,
    NoCheckpointer,
    TrainingSettings,
    TrainingTask,
    mean_squared_error,
    train_network,
)

PRETRAINING = TrainingSettings(epochs=40, batch_size=32, learning_rate=1e-4)
ADAPTER_TRAINING = TrainingSettings(epochs=100, batch_size=32, learning_rate=1e-4)
FINE_TUNING = TrainingSettings(epochs=100, batch_size=1, learning_rate=1e-4)
_BATCH_GRAPHS = 64  # of a prediction
_CLASSIFICATION = "cls"


@dataclass(frozen=True, slots=True, eq=False)
class _Networks:
    """adapters: by task."""

    backbone: Backbone
    adapters: dict[str, Adapter]

    def scores(self, batch: GraphBatch, task: str | None) -> Tensor:
        """Return (count,) scores by the adapter of `task`, or by the backbone's own head."""
        if task is None:
            own: Tensor = self.backbone(batch)
            return own
        scores: Tensor = self.adapters[task](batch, self.backbone.states(batch))
        return scores

    def mean_scores(self, batch: GraphBatch) -> Tensor:
        """Return (count,) means over all adapters, or scores by the backbone if there is none."""
        if not self.adapters:
            return self.scores(batch, None)
        states = self.backbone.states(batch)
        return torch.stack([adapter(batch, states) for adapter in self.adapters.values()]).mean(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """networks: None if no source task had enough labels. units: mean and standard deviation of labels by task/data."""

    networks: _Networks | None
    units: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Scale:
    """mean, deviation: of the labels. error: standard deviation of the predictions' errors, in the same unit."""

    mean: float
    deviation: float
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """scale: None if it is unknown; the scores then only rank."""

    networks: _Networks
    scale: _Scale | None


class AIOPBase(Model):
    """Scores new tasks without training on them ("zero-shot"); the support set gives mean and standard deviation."""

    flops_scaling: ClassVar[bool] = False
    fine_tuned: ClassVar[bool] = False
    uses_adapters: ClassVar[bool] = True
    pretraining: ClassVar[TrainingSettings] = PRETRAINING
    adapter_training: ClassVar[TrainingSettings] = ADAPTER_TRAINING
    fine_tuning: ClassVar[TrainingSettings] = FINE_TUNING

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._fitted: _Fitted | None = None
        self._adapted: _Adapted | None = None

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Train the backbone on classification, or on all tasks if there is none; then an adapter for each task."""
        checkpointer = checkpointer or NoCheckpointer()
        torch.manual_seed(self._seed)
        by_task = defaultdict[str, list[LabelSet]](list)
        for source in sources:
            if len(source) >= MIN_SUPPORT:
                by_task[source.task].append(source)
        self._adapted = None
        units = self._units(sources)
        if not by_task:
            self._fitted = _Fitted(None, units)
            return
        first = by_task.pop(_CLASSIFICATION, None) or [source for sets in by_task.values() for source in sets]
        networks = _Networks(Backbone().to(best_device()), {})
        self._train("backbone", self.pretraining, networks, None, first, checkpointer)
        networks.backbone.requires_grad_(False)
        for task, sets in sorted(by_task.items() if self.uses_adapters else []):
            networks.adapters[task] = Adapter().to(best_device())
            self._train(task, self.adapter_training, networks, task, sets, checkpointer)
        self._fitted = _Fitted(networks, units)

    def take_fit(self, other: Model) -> bool:
        """See `Model.take_fit`. The published models differ in what they are fitted to, or in `adapt` alone."""
        if not isinstance(other, AIOPBase):
            return False
        mine, others = (
            (m._seed, m.flops_scaling, m.uses_adapters, m.pretraining, m.adapter_training) for m in (self, other)
        )
        if mine == others:
            self._fitted, self._adapted = require(other._fitted, other, "fit"), None
        return mine == others

    def adapt(self, support: LabelSet) -> None:
        """See `Model.adapt`."""
        fitted = require(self._fitted, self, "fit")
        if fitted.networks is None:
            raise NothingKnownError(support.name)
        if len(support) < MIN_SUPPORT:
            unit = fitted.units.get(f"{support.task}/{support.data}")
            self._adapted = _Adapted(fitted.networks, _Scale(*unit, error=unit[1]) if unit else None)
            return
        networks = fitted.networks
        if self.fine_tuned:
            networks = copy.deepcopy(networks)
            networks.backbone.requires_grad_(not networks.adapters)
            for task in networks.adapters or [None]:
                self._train("fine-tuning", self.fine_tuning, networks, task, [support], NoCheckpointer())
        scaled = self._scaled(support)
        mean, deviation = float(scaled.mean()), float(scaled.std()) or 1.0
        errors = support.values - (_scores(networks, support) * deviation + mean) * self._factors(support)
        error = float(np.sqrt((errors**2).sum() / (len(support) - 2)))
        self._adapted = _Adapted(networks, _Scale(mean, deviation, error))

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        adapted = require(self._adapted, self, "adapt")
        scores, scale = _scores(adapted.networks, query), adapted.scale
        if scale is None:
            return Prediction.ranking(scores)
        mean = (scores * scale.deviation + scale.mean) * self._factors(query)
        return Prediction(mean, np.full(len(query), scale.error))

    def state(self) -> State:
        """See `Model.state`."""
        fitted = require(self._fitted, self, "fit")
        networks: dict[str, nn.Module] = {}
        if fitted.networks is not None:
            adapters = {f"adapter.{task}": adapter for task, adapter in fitted.networks.adapters.items()}
            networks = {"backbone": fitted.networks.backbone, **adapters}
        states = ((name, network.state_dict()) for name, network in networks.items())
        arrays = {f"{name}/{inner}": value.cpu().numpy() for name, state in states for inner, value in state.items()}
        return arrays, {"seed": self._seed, "networks": list(networks), "units": fitted.units}

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> AIOPBase:
        """See `Model.restore`."""
        model = cls(settings["seed"])
        units = {name: (mean, deviation) for name, (mean, deviation) in settings["units"].items()}
        names = [name for name in settings["networks"] if name != "backbone"]
        networks = None
        if settings["networks"]:
            backbone = _load(Backbone(), strip_prefix(arrays, "backbone/"))
            adapters = {
                name.removeprefix("adapter."): _load(Adapter(), strip_prefix(arrays, f"{name}/")) for name in names
            }
            networks = _Networks(backbone, adapters)
        model._fitted = _Fitted(networks, units)
        return model

    def _train(
        self,
        stage: str,
        settings: TrainingSettings,
        networks: _Networks,
        task: str | None,
        sets: Sequence[LabelSet],
        checkpointer: Checkpointer,
    ) -> None:
        """Train the adapter of `task`, or the backbone if it is None."""
        examples = Examples.of(sets, [standard_scores(self._scaled(one)) for one in sets])
        training = TrainingTask(
            stage,
            networks.backbone if task is None else networks.adapters[task],
            lambda batch: networks.scores(batch, task)[:, None],
            mean_squared_error,
            examples,
            held_out=examples.take(np.arange(0)),
        )
        train_network(training, settings, self._seed, checkpointer)

    def _units(self, sources: Sequence[LabelSet]) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation of scaled labels by task/data, for queries without a support set."""
        scaled = defaultdict[str, list[Floats]](list)
        for source in sources:
            scaled[f"{source.task}/{source.data}"].append(self._scaled(source))
        joined = {name: np.concatenate(parts) for name, parts in scaled.items()}
        return {name: (float(values.mean()), float(values.std()) or 1.0) for name, values in joined.items()}

    def _scaled(self, labels: LabelSet) -> Floats:
        return labels.values / self._factors(labels)

    def _factors(self, labels: LabelSet) -> Floats:
        """Return (n,) log10(GFLOPs + 1) + 1, by which labels are divided before they are standardised, or ones."""
        if not self.flops_scaling:
            return np.ones(len(labels))
        factors: Floats = np.log10((np.exp2(labels.column("log_flops")) - 1) / 1e9 + 1) + 1
        return factors


@torch.no_grad()
def _scores(networks: _Networks, query: LabelSet) -> Floats:
    """Return (n,) standard scores."""
    scores = []
    for start in range(0, len(query), _BATCH_GRAPHS):
        batch = GraphBatch.of(query.pool.nodes, query.graphs[start : start + _BATCH_GRAPHS], best_device())
        scores.append(networks.mean_scores(batch))
    return torch.cat(scores).cpu().numpy().astype(np.float64) if scores else np.zeros(0)


AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def _load(network: AnyNetwork, arrays: Arrays) -> AnyNetwork:
    network.to(best_device())
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return network


@register
class GraphNetwork(AIOPBase):
    """The published baseline, a graph network without adapters."""

    name, uses_adapters = "gnn", False


@register
class AIOP(AIOPBase):
    """With adapters and standardised labels."""

    name = "aiop"


@register
class AIOPFlops(AIOPBase):
    """With labels scaled by FLOPs (section 3.3)."""

    name, flops_scaling = "aiop-flops", True


@register
class AIOPTuned(AIOPBase):
    """Fine-tuned on the support set."""

    name, fine_tuned = "aiop-tuned", True
