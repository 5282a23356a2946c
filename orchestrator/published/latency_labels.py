"""Measure the latency of named networks, one after another, and commit the results as labels."""

from __future__ import annotations

import platform
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_groups import LabelGroup
from orchestrator.predictors.labelled_networks import data_size, network_recipe
from orchestrator.published.label_network import AssembledNetwork, BuildOptions, LabelNetworks, backbone_named
from orchestrator.published.named_networks import open_network
from orchestrator.published.protocols import PROTOCOLS
from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError
from workers.latency.measurement import BUSY_SPREAD, METRIC, Latency, device_name, measure_latency
from workers.latency.settings import LatencySettings
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.measured_recipe import FIDELITY, WHOLE, MeasuredRecipe

TASK = "latency"
_AS_IMAGENET = ("cls", "imagenet-1k")  # whose input size networks have that are measured as they are
_MEASURED = ("ms", "spread", "wall_ms", "repeats", "warm_up", "load", "busy", "device_name")
_BUILT = ("flops", "params", "network", "head", "recipe", "input_size", "source", "error")
_RECIPE, _DATA = "laptop", "shapes"  # of the heads, by default


@dataclass(frozen=True, slots=True)
class MeasuredHead:
    """The head that backbones get. recipe: a tier or YAML file. data: whose classes it has; None: the usual ones."""

    task: str
    recipe: str = _RECIPE
    data: str | None = None


@dataclass(frozen=True, slots=True)
class LatencyQuestion:
    """What a user asks. head: None to measure networks as they are. input_size: channels, height and width, if given.

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

    store: gets each label as soon as it is measured; a label that it has is read from it instead. on_progress: called
    with the number of networks done and the total.

    Raises LatencyError if this machine lacks the device, ConfigError if no network could be measured for one and the
    same reason, and AIOPError for a head that does not exist.
    """
    data = question.settings.data_name(device_name(question.settings))
    networks = _label_networks(question)
    stored = {} if store is None else _stored_labels(store, data)
    campaign, rows, models = uuid.uuid4().hex[:12], dict[str, dict[str, Any]](), list(dict.fromkeys(question.models))
    for number, model in enumerate(models):
        on_progress(number, len(models))
        try:
            rows[model] = _measured_row(model, networks, question, data, stored, store, campaign)
        except AIOPError as error:
            text = " ".join(str(error).split())
            rows[model] = _row(model, data) | {"error": text if model in text else f"model '{model}': {text}"}
    reasons = {row["error"] for row in rows.values()}
    if len(reasons) == 1 and None not in reasons:
        raise ConfigError(reasons.pop())
    return [rows[model] for model in question.models]


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
    if (head.task, data) not in PROTOCOLS:
        data_size(data, head.task)  # a wrong task or data set is an error before anything is built
    options = BuildOptions(recipe=head.recipe, input_size=question.input_size, device="cpu")
    return LabelNetworks(LabelGroup(head.task, data, "", "", ()), options)


def _measured_row(
    model: str,
    networks: LabelNetworks,
    question: LatencyQuestion,
    data: str,
    stored: dict[str, dict[str, Any]],
    store: LabelStore | None,
    campaign: str,
) -> dict[str, Any]:
    """Measure a network, or read its label, and return its row. Raises AIOPError."""
    assembled = networks.assemble(model)
    request = _request(_architecture(model, question.head), assembled, data)
    while question.again and request.key in stored:
        request = replace(request, seed=request.seed + 1)
    built = assembled.traced()
    row = _row(model, data) | {
        "flops": built.graph.flops,
        "params": built.graph.params,
        "network": built.title,
        "head": built.head,
        "recipe": request.recipe.name,
        "input_size": list(built.input_size),
    }
    if request.key in stored:
        known = stored[request.key]
        return row | _numbers(known["value"], dict(known["metrics"])) | {"source": "store"}
    began, started = time.perf_counter(), time.time()
    latency = measure_latency(assembled.network, assembled.input_size, question.settings)
    seconds = time.perf_counter() - began
    if store is not None:
        report = _report(request, latency, built.graph.to_json(), built.graph.flops, built.graph.params, campaign)
        store.commit([replace(report, started=started, seconds=seconds)])
        stored[request.key] = {"value": latency.timing.median_ms, "metrics": latency.metrics}
    device = {"device_name": latency.device_name, "source": "measured"}
    return row | _numbers(latency.timing.median_ms, latency.metrics) | device


def _architecture(model: str, head: MeasuredHead | None) -> Architecture:
    """Return the architecture of a label: of a backbone if it got a head, else of the whole network."""
    backbone = None if head is None else backbone_named(model)
    kind, _, rest = model.partition(":")
    return backbone or open_network(f"timm:{rest}" if kind == "zoo" else model).architecture


def _request(architecture: Architecture, assembled: AssembledNetwork, data: str) -> LabelRequest:
    """Return the request of a label. Its recipe decides the network, its data set the device and the settings."""
    channels, height, width = assembled.input_size
    size = f"{height}x{width}" if channels == 3 else f"{channels}x{height}x{width}"
    fields: dict[str, Any] = {"task": TASK, "name": WHOLE + size}
    if assembled.recipe is not None:
        given, numbers = assembled.recipe, assembled.vocabulary
        assert numbers is not None
        name = given.name if given.input_size == (height, width) else f"{given.name}.{size}"
        fields = network_recipe(given) | {"name": name}
        fields |= {"classes": numbers.classes, "things": numbers.things, "joints": numbers.joints}
    recipe = MeasuredRecipe.model_validate(fields | {"input_size": (height, width)})
    return LabelRequest(architecture, TASK, data, data, FIDELITY, recipe, seed=0)


def _report(
    request: LabelRequest, latency: Latency, graph: str, flops: float, params: float, campaign: str
) -> AttemptReport:
    measured = Measurement(latency.timing.median_ms, METRIC, latency.metrics, flops, params, {}, graph=graph)
    return AttemptReport(LabelJob(request, campaign), Outcome.OK, "", platform.node(), 0.0, 0.0, measured)


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
        "warm_up": int(metrics["warm_up"]),
        "load": None if load != load else load,
        "busy": metrics["spread"] > BUSY_SPREAD,
    }


def failed_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of networks that could not be measured."""
    return [row for row in rows if row["error"] is not None]
