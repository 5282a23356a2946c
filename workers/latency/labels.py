"""Labels of the task latency: which label a measurement makes, and its row."""

from __future__ import annotations

import platform
import time
from typing import Any

from predictor.graph import Graph
from workers.data import Vocabulary
from workers.latency.measurement import METRIC, Latency
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.measured_recipe import FIDELITY, WHOLE, MeasuredRecipe
from workers.messages.recipe import NETWORK_FIELDS, Recipe

TASK = "latency"
_METHOD = 2  # how latency is measured, as the version of the recipes; 1 did not keep freed memory in the process
Numbers = tuple[int, int, int]  # of classes, things and joints


def numbers_of(vocabulary: Vocabulary) -> Numbers:
    """Return the numbers of classes, things and joints, which decide a head."""
    return len(vocabulary.classes), vocabulary.things, len(vocabulary.joints)


def whole_request(architecture: Architecture, input_size: tuple[int, int, int], data: str) -> LabelRequest:
    """Return the label of a network as it is. input_size: channels, height and width. data: device and settings."""
    name = WHOLE + _size_text(input_size)
    recipe = MeasuredRecipe(name=name, version=_METHOD, task=TASK, input_size=input_size[1:])
    return LabelRequest(architecture, TASK, data, data, FIDELITY, recipe, seed=0)


def headed_request(
    architecture: Architecture, recipe: Recipe, numbers: Numbers, input_size: tuple[int, int, int], data: str
) -> LabelRequest:
    """Return the label of a backbone with the head of a recipe, at an input size that may be another one."""
    fields: dict[str, Any] = recipe.model_dump(mode="json", include=set(NETWORK_FIELDS))
    fields["body"] = {name: value for name, value in recipe.body.items() if name != "pretrained"}
    if recipe.input_size != input_size[1:]:
        fields["name"] += "." + _size_text(input_size)
    fields |= {"version": _METHOD, "input_size": input_size[1:]} | dict(
        zip(("classes", "things", "joints"), numbers, strict=True)
    )
    measured = MeasuredRecipe.model_validate(fields)
    return LabelRequest(architecture, TASK, data, data, FIDELITY, measured, seed=0)


def latency_report(
    request: LabelRequest, campaign: str, latency: Latency, graph: Graph, seconds: float
) -> AttemptReport:
    """Return the report of a measurement that has just ended and took `seconds`."""
    value, costs = latency.timing.median_ms, (float(graph.flops), float(graph.params))
    measurement = Measurement(value, METRIC, latency.metrics, *costs, {"measure": seconds}, graph=graph.to_json())
    job, started = LabelJob(request, campaign), time.time() - seconds
    return AttemptReport(job, Outcome.OK, "", platform.node(), started, seconds, measurement)


def _size_text(input_size: tuple[int, int, int]) -> str:
    """Return HEIGHTxWIDTH, with other numbers of channels than 3 in front."""
    return "x".join(map(str, input_size[1:] if input_size[0] == 3 else input_size))
