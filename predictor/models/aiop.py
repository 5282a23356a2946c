"""AIO-P as published (arXiv 2211.17228): a backbone learnt on classification, and a K-Adapter for every other task."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

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
    mean_squared,
    train_network,
)

PRETRAINING, INFUSION = TrainingSettings(40, 32, 1e-4), TrainingSettings(100, 32, 1e-4)
TUNING = TrainingSettings(100, 1, 1e-4)
_TOGETHER = 64  # graphs that are predicted at once
_CLASSIFICATION = "cls"


@dataclass(frozen=True, slots=True)
class _Weights:
    """adapters: by task."""

    backbone: Backbone
    adapters: dict[str, Adapter]

    def scores(self, batch: GraphBatch, task: str | None) -> Tensor:
        """(count,) what the adapter of `task` says, or the backbone's own head."""
        told: Tensor = self.backbone(batch) if task is None else self.adapters[task](batch, self.backbone.states(batch))
        return told

    def mean(self, batch: GraphBatch) -> Tensor:
        """(count,) the mean over all heads."""
        if not self.adapters:
            return self.scores(batch, None)
        states = self.backbone.states(batch)
        return torch.stack([adapter(batch, states) for adapter in self.adapters.values()]).mean(0)


class Published(Model):
    """Mean and deviation of a new set come from its few labels; nothing else is learnt from them ("zero-shot")."""

    flops_scaling: ClassVar[bool] = False
    tuned: ClassVar[bool] = False
    adapters: ClassVar[bool] = True
    pretraining: ClassVar[TrainingSettings] = PRETRAINING
    infusion: ClassVar[TrainingSettings] = INFUSION
    tuning: ClassVar[TrainingSettings] = TUNING

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """The backbone from sets of classification, or from all where there are none; then an adapter a task."""
        checkpointer = checkpointer or NoCheckpointer()
        torch.manual_seed(self._seed)
        by_task = defaultdict[str, list[LabelSet]](list)
        for known in sources:
            if len(known) >= MIN_SUPPORT:
                by_task[known.task].append(known)
        self._learnt: _Weights | None = None
        self._units = self._units_of(sources)
        if not by_task:
            return
        first = by_task.pop(_CLASSIFICATION, None) or [one for sets in by_task.values() for one in sets]
        self._learnt = _Weights(Backbone().to(best_device()), {})
        self._fit("backbone", self.pretraining, self._learnt, None, first, checkpointer)
        self._learnt.backbone.requires_grad_(False)
        for task, sets in sorted(by_task.items() if self.adapters else []):
            self._learnt.adapters[task] = Adapter().to(best_device())
            self._fit(task, self.infusion, self._learnt, task, sets, checkpointer)

    def adapt(self, support: LabelSet) -> None:
        """See `Model.adapt`."""
        if self._learnt is None:
            raise NothingKnownError(support.name)
        self._used, self._scale = self._learnt, None
        if len(support) < MIN_SUPPORT:
            if unit := self._units.get(f"{support.task}/{support.data}"):
                self._scale = *unit, unit[1]
            return
        if self.tuned:
            self._used = copy.deepcopy(self._learnt)
            self._used.backbone.requires_grad_(not self._used.adapters)
            for task in self._used.adapters or [None]:
                self._fit("few", self.tuning, self._used, task, [support], NoCheckpointer())
        scaled = self._scaled(support)
        mean, deviation = float(scaled.mean()), float(scaled.std()) or 1.0
        missed = support.values - (self._scores(support) * deviation + mean) * self._factors(support)
        self._scale = mean, deviation, float(np.sqrt((missed**2).sum() / (len(support) - 2)))

    def predict(self, asked: LabelSet) -> Prediction:
        """The mean of the adapters' heads, or what the backbone says where there is no adapter."""
        scores = self._scores(asked)
        if self._scale is None:
            return Prediction.score(scores)
        mean, deviation, missed = self._scale
        return Prediction((scores * deviation + mean) * self._factors(asked), np.full(len(asked), missed))

    def state(self) -> State:
        """See `Model.state`."""
        networks: dict[str, nn.Module] = {}
        if self._learnt is not None:
            adapters = {f"adapter.{task}": adapter for task, adapter in self._learnt.adapters.items()}
            networks = {"backbone": self._learnt.backbone, **adapters}
        parts = ((name, network.state_dict()) for name, network in networks.items())
        arrays = {f"{name}/{inner}": value.cpu().numpy() for name, state in parts for inner, value in state.items()}
        return arrays, {"seed": self._seed, "networks": list(networks), "units": self._units}

    @classmethod
    def restore(cls, arrays: Arrays, told: dict[str, Any]) -> Published:
        """See `Model.restore`."""
        model = cls(told["seed"])
        model._units = {name: (mean, deviation) for name, (mean, deviation) in told["units"].items()}
        model._learnt = _Weights(Backbone(), {}) if told["networks"] else None
        for name in told["networks"]:
            assert model._learnt is not None
            network: nn.Module = model._learnt.backbone
            if name != "backbone":
                network = model._learnt.adapters[name.removeprefix("adapter.")] = Adapter()
            found = strip_prefix(arrays, f"{name}/")
            network.to(best_device())
            network.load_state_dict({inner: torch.from_numpy(value) for inner, value in found.items()})
        return model

    def _fit(
        self,
        stage: str,
        settings: TrainingSettings,
        weights: _Weights,
        task: str | None,
        sets: Sequence[LabelSet],
        checkpointer: Checkpointer,
    ) -> None:
        """Train the adapter of `task`, or the backbone."""
        examples = Examples.of(sets, [standard_scores(self._scaled(one)) for one in sets])
        training = TrainingTask(
            stage,
            weights.backbone if task is None else weights.adapters[task],
            lambda batch: weights.scores(batch, task)[:, None],
            mean_squared,
            examples,
            held_out=examples.take(np.arange(0)),
        )
        train_network(training, settings, self._seed, checkpointer)

    @torch.no_grad()
    def _scores(self, asked: LabelSet) -> Floats:
        """(n,) standard scores."""
        found = []
        for start in range(0, len(asked), _TOGETHER):
            batch = GraphBatch.of(asked.pool.nodes, asked.graphs[start : start + _TOGETHER], best_device())
            found.append(self._used.mean(batch))
        return torch.cat(found).cpu().numpy().astype(np.float64) if found else np.zeros(0)

    def _units_of(self, sources: Sequence[LabelSet]) -> dict[str, tuple[float, float]]:
        """By task and data, mean and deviation of what is learnt of the labels: for questions without labels."""
        found = defaultdict[str, list[Floats]](list)
        for known in sources:
            found[f"{known.task}/{known.data}"].append(self._scaled(known))
        together = {name: np.concatenate(parts) for name, parts in found.items()}
        return {name: (float(values.mean()), float(values.std()) or 1.0) for name, values in together.items()}

    def _scaled(self, labels: LabelSet) -> Floats:
        return labels.values / self._factors(labels)

    def _factors(self, labels: LabelSet) -> Floats:
        """(n,) log10(GFLOPs + 1) + 1, by which labels are divided before they are standardised, or ones."""
        if not self.flops_scaling:
            return np.ones(len(labels))
        factors: Floats = np.log10((np.exp2(labels.column("log_flops")) - 1) / 1e9 + 1) + 1
        return factors


@register
class GraphNetwork(Published):
    """The published baseline, a network for graphs without adapters."""

    name, adapters = "gnn", False


@register
class AIOP(Published):
    """With adapters and standardised labels."""

    name = "aiop"


@register
class AIOPFlops(Published):
    """With labels scaled by FLOPs (section 3.3)."""

    name, flops_scaling = "aiop-flops", True


@register
class AIOPTuned(Published):
    """Fine-tuned on the few labels."""

    name, tuned = "aiop-tuned", True
