"""Reports of labels of small random networks, by default values that grow with the FLOPs."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np

from predictor.graph import Graph
from tests.support.store_reports import report
from tests.support.synthetic_sets import random_graph
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport


@cache
def network(number: int) -> Graph:
    """Return the graph of a network."""
    return random_graph(number)


@cache
def _json(number: int) -> str:
    return network(number).to_json()


def labelled(number: int, task: str = "seg", value: float | None = None, space: str = "cells") -> AttemptReport:
    """Return a report with the label of a network."""
    value = float(np.log2(network(number).flops) / 40) if value is None else value
    template = report(task=task, space=space, value=value, graph=_json(number))
    request = dataclasses.replace(template.job.request, architecture=Architecture.of(space, {"number": number}))
    return dataclasses.replace(template, job=dataclasses.replace(template.job, request=request))
