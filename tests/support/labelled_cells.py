"""A generation that was trained on labels of cells and on published results, with networks that can be built again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from orchestrator.predictors.generations import next_generation, publish
from orchestrator.predictors.labelled_networks import build_for_task, data_size
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.training import TrainingRequest, fit_predictor, save_generation
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph import Graph, trace
from predictor.networks.fitting import NoCheckpointer
from tests.support.labelled_networks import network
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.published_recipe import PublishedRecipe
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space


@cache
def cell_labels(task: str, count: int) -> tuple[AttemptReport, ...]:
    """Return labels of cells on `shapes` by the recipe `laptop`, which grow with the FLOPs."""
    recipe, size = load_recipe("laptop", task, "nasbench201"), data_size("shapes", task)
    reports = []
    for architecture in itertools.islice(get_space("nasbench201").sequence(0), count):
        graph = trace(build_for_task(architecture, recipe, task, size), (3, *recipe.input_size))
        request = LabelRequest(architecture, task, "shapes", "f00d", "full", recipe, 0)
        reports.append(_report(request, graph, 0.5 + (float(np.log2(graph.flops)) - 24) / 20))
    return tuple(reports)


def published_labels(
    task: str, data: str, kind: str, count: int, size: tuple[int, int], first: int = 0
) -> list[AttemptReport]:
    """Return published labels of random networks that have names of a kind."""
    recipe = PublishedRecipe(name="published:test", task=task, input_size=size)
    reports = []
    for number in range(first, first + count):
        name = f"network-{number}"
        genotype = {"config": f"configs/{name}.py"} if kind.startswith("mm") else {"name": name}
        architecture = Architecture.of(kind, genotype)
        request = LabelRequest(architecture, task, data, data, "published", recipe, 0)
        reports.append(_report(request, network(number), float(np.log2(network(number).flops) / 40)))
    return reports


def train_on(reports: list[AttemptReport], folder: Path) -> Path:
    """Train and publish a generation in FOLDER/predictors on labels that are committed to FOLDER/labels."""
    store = DeltaLabelStore(folder / "labels")
    store.commit(reports)
    snapshot = Snapshot.empty().updated_to(store, store.version())
    request = TrainingRequest(str(folder / "labels"), store.version(), "default", 0, 1, 0.0)
    predictor, held_out = fit_predictor(request, snapshot, NoCheckpointer())
    generation = next_generation(folder / "predictors")
    save_generation(generation, predictor, held_out, snapshot)
    publish(generation)
    return generation


def renamed(reports: Sequence[AttemptReport], recipe_name: str, value_sign: float = 1.0) -> list[AttemptReport]:
    """Return the labels as if another recipe of the same networks had given them."""
    changed = []
    for report in reports:
        request, measured = report.job.request, report.measurement
        assert measured is not None
        fields = request.recipe.model_dump() | {"name": recipe_name}
        other = dataclasses.replace(request, recipe=Recipe.model_validate(fields))
        value = 0.5 + value_sign * (measured.value - 0.5)
        changed.append(
            dataclasses.replace(
                report,
                job=dataclasses.replace(report.job, request=other),
                measurement=dataclasses.replace(measured, value=value),
            )
        )
    return changed


def _report(request: LabelRequest, graph: Graph, value: float) -> AttemptReport:
    costs = float(graph.flops), float(graph.params)
    measured = Measurement(value, "metric", {"metric": value}, *costs, {}, graph=graph.to_json())
    return AttemptReport(LabelJob(request, "c1"), Outcome.OK, "", "node-1", 1.7e9, 1.0, measured)
