"""A generation records how the networks of its labels are built; classes are found from a label's costs."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from orchestrator.predictors.label_sets import LabelSetIdentity
from orchestrator.predictors.labelled_networks import (
    VocabularySize,
    build_for_task,
    data_size,
    record_networks,
    recorded_size,
    size_from_cost,
)
from orchestrator.store.delta import DeltaLabelStore
from predictor.graph import trace
from predictor.metadata import GenerationMetadata, LearnedSet
from tests.support.labelled_cells import cell_labels, published_labels
from tests.support.store_reports import report
from workers.messages.label import AttemptReport
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space


@pytest.mark.parametrize(
    ("per_number", "size"),
    [
        ([[10, 200], [10, 200], [0, 0]], VocabularySize(150, 150, 0)),
        ([[10, 200], [0, 0], [0, 0]], VocabularySize(80, 80, 0)),
        ([[10, 200], [10, 300], [0, 0]], VocabularySize(133, 80, 0)),
        ([[0, 0], [0, 0], [7, 9]], VocabularySize(0, 0, 17)),
        ([[0, 0], [0, 0], [0, 0]], VocabularySize(0, 0, 0)),
    ],
)
def test_numbers_are_solved_for_where_they_cost_something(per_number: list[list[int]], size: VocabularySize) -> None:
    def cost(numbers: VocabularySize) -> tuple[float, float]:
        counts = [numbers.things, numbers.classes - numbers.things, numbers.joints]
        params, flops = (sum(n * row[i] for n, row in zip(counts, per_number, strict=True)) for i in range(2))
        return 1e6 + params, 1e9 + flops

    assert size_from_cost(cost, cost(size)) == size
    params, flops = cost(size)
    assert size_from_cost(cost, (params + 1, flops)) is None


@pytest.mark.parametrize(
    ("task", "size"),
    [
        ("pose", VocabularySize(0, 0, 17)),
        pytest.param("pano", VocabularySize(133, 80, 0), marks=pytest.mark.slow),
    ],
)
def test_classes_and_joints_follow_from_parameters_and_flops(task: str, size: VocabularySize) -> None:
    (architecture,) = itertools.islice(get_space("nasbench201").sequence(0), 1)
    recipe = load_recipe("laptop", task, "nasbench201")

    def cost(numbers: VocabularySize) -> tuple[float, float]:
        graph = trace(build_for_task(architecture, recipe, task, numbers), (3, *recipe.input_size))
        return float(graph.params), float(graph.flops)

    assert size_from_cost(cost, cost(size)) == size


def test_a_companion_task_has_its_part_of_the_head() -> None:
    (architecture,) = itertools.islice(get_space("nasbench201").sequence(0), 1)
    recipe, size = load_recipe("laptop", "pano", "nasbench201"), VocabularySize(10, 7, 0)
    whole, boxes = (build_for_task(architecture, recipe, task, size) for task in ("pano", "det"))
    costs = [trace(network, (3, *recipe.input_size)).params for network in (whole, boxes)]
    assert costs[1] < costs[0]


def learned(label: AttemptReport) -> LearnedSet:
    request = label.job.request
    row = {
        "space": request.architecture.space,
        "task": request.task,
        "data": request.data,
        "fidelity": request.fidelity,
        "recipe_name": request.recipe.name,
        "recipe_hash": request.recipe.hash,
    }
    kind = LabelSetIdentity(**row).to_kind()
    return LearnedSet(name=row["space"], task=row["task"], data=row["data"], space=row["space"], labels=1, kind=kind)


def test_recipe_and_classes_are_recorded_by_set(tmp_path: Path) -> None:
    (cells,), (published,) = (
        cell_labels("cls", 1),
        published_labels("cls", "imagenet-1k", "timm", 1, (192, 192)),
    )
    unknown = report(task="seg")
    store = DeltaLabelStore(tmp_path / "labels")
    store.commit([cells, published, unknown])
    sets = tuple(map(learned, (cells, published, unknown)))
    found = record_networks(GenerationMetadata(model="default", version=store.version(), sets=sets), store).sets
    assert GenerationMetadata.from_json(GenerationMetadata(model="default", sets=found).to_json()).sets == found
    of_cells, of_published, of_unknown = (one.networks for one in found)
    assert of_cells is not None
    assert of_cells.recipe["input_size"] == [64, 64]
    assert of_cells.recipe["body"] == {"channels": [32, 32, 48, 64], "cells": 1, "reduction": "pool"}
    assert recorded_size(found[0]) == data_size("shapes", "cls")
    assert of_published is not None
    assert (of_published.recipe["input_size"], of_published.classes) == ([192, 192], None)
    assert of_unknown is not None  # of a space and data set that are not there
    assert (of_unknown.recipe["name"], of_unknown.classes) == ("seg.laptop", None)


def test_a_refresh_uses_known_classes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cells,) = cell_labels("cls", 1)
    store = DeltaLabelStore(tmp_path / "labels")
    store.commit([cells])
    metadata = GenerationMetadata(model="default", version=store.version(), sets=(learned(cells),))
    first = record_networks(metadata, store)
    monkeypatch.setattr("orchestrator.predictors.labelled_networks.size_from_cost", None)
    assert record_networks(metadata, store, first.sets) == first
    other = dataclasses.replace(first.sets[0], data="elsewhere")
    with pytest.raises(TypeError):
        record_networks(metadata, store, [other])
