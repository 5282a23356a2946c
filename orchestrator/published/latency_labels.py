"""Measure the latency of named networks and commit the results as labels."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_groups import LabelGroup
from orchestrator.predictors.labelled_networks import data_size
from orchestrator.published.label_network import (
    AssembledNetwork,
    BuildOptions,
    BuiltNetwork,
    LabelNetworks,
    backbone_named,
)
from orchestrator.published.named_networks import open_network
from orchestrator.published.protocols import PROTOCOLS
from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError
from workers.latency.labels import TASK, headed_request, latency_report, whole_request
from workers.latency.measurement import LatencyProbe, device_name, is_busy
from workers.latency.settings import LatencySettings
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.messages.measured_recipe import FIDELITY
from workers.tasks import get_task

_AS_IMAGENET = ("cls", "imagenet-1k")  # whose input size networks without a head of ours have
_MEASURED = ("ms", "spread", "wall_ms", "repeats", "rounds", "warm_up", "load", "busy", "device_name")
_BUILT = ("flops", "flops_lower_bound", "params", "network", "head", "recipe", "input_size", "source", "error")
_ROUNDS = 20  # at most, in which the networks of a group are measured
_RUNS_A_ROUND = 5  # at least
_ROUND_S = 1.0  # at least, because a disturbance lasts for seconds
_GROUP_WEIGHTS = 500_000_000  # weights of the networks that are in memory at once
_RECIPE, _DATA = "laptop", "shapes"  # of the heads, by default


@dataclass(frozen=True, slots=True)
class MeasuredHead:
    """The head that backbones get. recipe: a tier or YAML file. data: whose classes it has; None: the usual ones."""

    task: str
    recipe: str = _RECIPE
    data: str | None = None


@dataclass(frozen=True, slots=True)
class LatencyQuestion:
    """What a user asks. head: None to measure whole networks. input_size: channels, height and width, if given.

    again: measure networks whose label the store has once more, as a further seed.
    """

    models: tuple[str, ...]
    settings: LatencySettings
    head: MeasuredHead | None = None
    input_size: tuple[int, int, int] | None = None
    again: bool = False


def measure_networks(
    question: LatencyQuestion,
    store: LabelStore | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Return a row for each network, in the order asked; those that failed have `error` only.

    store: receives the labels of each measured group of networks; a network that it has a label of is not measured, and
    gets the stored numbers. on_progress: called with the number of networks done and the total, after each round of
    each network.

    Raises LatencyError if this machine lacks the device, ConfigError if no network could be measured for one and the
    same reason, and AIOPError for a head that does not exist.
    """
    data = question.settings.data_name(device_name(question.settings))
    models, group = list(dict.fromkeys(question.models)), list[_Measured]()
    measuring = _Measuring(question, _label_networks(question), data, store)
    for number, model in enumerate(models):
        if (prepared := measuring.prepare(model)) is not None:
            group.append(prepared)
        if number + 1 == len(models) or measuring.is_full(group):
            before = number + 1 - len(group)
            measuring.measure(group, partial(_show_sum, on_progress, before, len(models)))
            group = []
    rows = measuring.rows
    reasons = {row["error"] for row in rows.values()}
    if len(reasons) == 1 and None not in reasons:
        raise ConfigError(reasons.pop())
    return [rows[model] for model in question.models]


def _show_sum(show: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    show(before + done, total)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A network on its way to a label."""

    model: str
    request: LabelRequest
    built: BuiltNetwork
    probe: LatencyProbe


class _Measuring:
    """Measures groups of networks in rounds, in turn, so that a busy minute does not disturb one network only.

    rows: by model, the results so far.
    """

    def __init__(self, question: LatencyQuestion, networks: LabelNetworks, data: str, store: LabelStore | None) -> None:
        self.rows = dict[str, dict[str, Any]]()
        self._question, self._networks, self._data, self._store = question, networks, data, store
        self._stored = {} if store is None else _stored_labels(store, data)
        self._claimed = set[str]()
        self._campaign = uuid.uuid4().hex[:12]

    def prepare(self, model: str) -> _Measured | None:
        """Build a network that is to be measured; None if its row is known: a stored label or an error."""
        try:
            assembled = self._networks.assemble(model)
            request = _request(_architecture(model, self._question.head), assembled, self._data)
            while request.key in self._claimed or (self._question.again and request.key in self._stored):
                request = replace(request, seed=request.seed + 1)
            built = assembled.traced()
            if (known := self._stored.get(request.key)) is not None:
                row = self._row(model, built, request) | _numbers(known["value"], dict(known["metrics"]))
                self.rows[model] = row | {"source": "store"}
                return None
            self._claimed.add(request.key)  # the same network under another name is a further seed
            probe = LatencyProbe(assembled.network, assembled.input_size, self._question.settings)
            return _Measured(model, request, built, probe)
        except AIOPError as error:
            self._fail(model, error)
            return None

    def is_full(self, group: Sequence[_Measured]) -> bool:
        """Whether a group has as many networks as fit into memory; a compiler keeps one."""
        weights = sum(measured.built.graph.params for measured in group)
        return weights > _GROUP_WEIGHTS or self._question.settings.mode == "compiled"

    def measure(self, group: Sequence[_Measured], show: Callable[[int], None]) -> None:
        """Measure networks in turn, and commit their labels. show: gets how many networks' worth of rounds is done."""
        seconds = defaultdict[str, float](float)
        rounds = _rounds(self._question.settings)
        for turn in _spread(rounds):
            for number, measured in enumerate(group):
                show((turn * len(group) + number) // rounds)
                began = time.perf_counter()
                try:
                    if measured.model not in self.rows:
                        measured.probe.measure_round(rounds)
                except AIOPError as error:
                    self._fail(measured.model, error)
                seconds[measured.model] += time.perf_counter() - began
            if all(measured.model in self.rows for measured in group):
                break
        done = [measured for measured in group if measured.model not in self.rows]
        if self._store is not None:
            self._store.commit(
                [
                    latency_report(m.request, self._campaign, m.probe.latency(), m.built.graph, seconds[m.model])
                    for m in done
                ]
            )
        for measured in done:
            latency = measured.probe.latency()
            row = self._row(measured.model, measured.built, measured.request)
            row |= _numbers(latency.timing.median_ms, latency.metrics)
            self.rows[measured.model] = row | {"device_name": latency.device_name, "source": "measured"}

    def _row(self, model: str, built: BuiltNetwork, request: LabelRequest) -> dict[str, Any]:
        """Return a row without numbers."""
        return _row(model, self._data) | {
            "flops": built.graph.flops,
            "flops_lower_bound": bool(built.graph.uncounted),
            "params": built.graph.params,
            "network": built.title,
            "head": built.head,
            "recipe": request.recipe.name,
            "input_size": list(built.input_size),
        }

    def _fail(self, model: str, error: AIOPError) -> None:
        text = " ".join(str(error).split())
        self.rows[model] = _row(model, self._data) | {"error": text if model in text else f"model '{model}': {text}"}


def _rounds(settings: LatencySettings) -> int:
    """Return in how many rounds networks are measured."""
    return max(1, min(_ROUNDS, settings.repeats // _RUNS_A_ROUND))


def _spread(rounds: int) -> Iterator[int]:
    """Yield the number of each round, at least `_ROUND_S` after the one before."""
    for number in range(rounds):
        began = time.monotonic()
        yield number
        if number + 1 < rounds:
            time.sleep(max(0.0, _ROUND_S - (time.monotonic() - began)))


def _label_networks(question: LatencyQuestion) -> LabelNetworks:
    """Return what builds the networks with real weights. Raises AIOPError for a head that does not exist."""
    head = question.head
    if head is None:
        options = BuildOptions(with_head=False, input_size=question.input_size, device="cpu")
        return LabelNetworks(LabelGroup(*_AS_IMAGENET, "", "", ()), options)
    protocols = (
        data for (task, data), protocol in PROTOCOLS.items() if (task, protocol.recipe) == (head.task, head.recipe)
    )
    data = head.data or next(protocols, _DATA)
    get_task(head.task)  # a wrong task or data set is an error before anything is built
    if (head.task, data) not in PROTOCOLS:
        data_size(data, head.task)
    options = BuildOptions(recipe=head.recipe, input_size=question.input_size, device="cpu")
    return LabelNetworks(LabelGroup(head.task, data, "", "", ()), options)


def _architecture(model: str, head: MeasuredHead | None) -> Architecture:
    """Return the architecture of a label: of a backbone if it got a head, else of the whole network."""
    backbone = None if head is None else backbone_named(model)
    kind, _, rest = model.partition(":")
    return backbone or open_network(f"timm:{rest}" if kind == "zoo" else model).architecture


def _request(architecture: Architecture, assembled: AssembledNetwork, data: str) -> LabelRequest:
    recipe, size = assembled.recipe, assembled.vocabulary
    if recipe is None or size is None:
        return whole_request(architecture, assembled.input_size, data)
    numbers = (size.classes, size.things, size.joints)
    return headed_request(architecture, recipe, numbers, assembled.input_size, data)


def _stored_labels(store: LabelStore, data: str) -> dict[str, dict[str, Any]]:
    """Return value and metrics of the labels of a device, by key."""
    labels = store.labels(task=TASK, data=data, fidelity=FIDELITY).select(["key", "value", "metrics"])
    return {row["key"]: row for row in labels.to_pylist()}


def _row(model: str, data: str) -> dict[str, Any]:
    """Return a row without results."""
    return {"model": model, "data": data, **dict.fromkeys(_MEASURED + _BUILT)}


def _numbers(value: float, metrics: dict[str, float]) -> dict[str, Any]:
    """Return the fields of a row that a label has. A load that the system did not tell is None."""
    load = metrics["load"]
    return {
        "ms": value,
        "spread": metrics["spread"],
        "wall_ms": metrics["wall_ms"],
        "repeats": int(metrics["repeats"]),
        "rounds": int(metrics["rounds"]),
        "warm_up": int(metrics["warm_up"]),
        "load": None if load != load else load,
        "busy": is_busy(metrics),
    }


def failed_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of networks that could not be measured."""
    return [row for row in rows if row["error"] is not None]
