"""Which predictor a choice follows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orchestrator.predictors.generations import generation_folder, publish
from orchestrator.predictors.label_sets import LabelSetIdentity
from orchestrator.search import surrogate
from orchestrator.search.surrogate import AdaptedGeneration, AdaptedModel, surrogate_for
from predictor import Predictor
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata, LearnedSet
from predictor.models import get_model
from tests.support.synthetic_sets import label_set

IDENTITY = LabelSetIdentity("cells", "seg", "shapes", "full", "seg.laptop", "0123")
LABELS = label_set("cells/seg/shapes", 12, [1.0, 0.5, 0, 0, 0])


@pytest.fixture(autouse=True)
def _nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surrogate, "shipped", SimpleNamespace(FOLDER=tmp_path / "shipped"))


def write(folder: Path, identity: LabelSetIdentity) -> None:
    """Write a generation without source tasks whose record names one set."""
    model = get_model("default")(0)
    model.fit([])
    learned = LearnedSet(name="a", task=identity.task, data=identity.data, labels=9, kind=identity.to_kind())
    Predictor(model, GenerationMetadata(model="default", sets=(learned,))).save(folder)


def test_the_generation_in_use_predicts(tmp_path: Path) -> None:
    write(generation_folder(tmp_path, 1), dataclasses.replace(IDENTITY, task="det"))
    publish(generation_folder(tmp_path, 1))
    found, name = surrogate_for(tmp_path, IDENTITY)
    assert isinstance(found, AdaptedGeneration)
    assert name == "the generation in use"
    support, query = LABELS.take(np.arange(8)), LABELS.take(np.arange(8, 12))
    assert found.adapted(support)(query).mean == pytest.approx(AdaptedModel().adapted(support)(query).mean)


def test_one_that_was_trained_on_the_set_is_passed_over(tmp_path: Path) -> None:
    write(generation_folder(tmp_path, 1), IDENTITY)
    publish(generation_folder(tmp_path, 1))
    found, name = surrogate_for(tmp_path, IDENTITY)
    assert isinstance(found, AdaptedModel)
    assert name == "no generation"
    write(tmp_path / "shipped", dataclasses.replace(IDENTITY, space="other"))
    assert surrogate_for(tmp_path, IDENTITY)[1] == "the shipped generation"


def test_values_of_the_query_are_not_read() -> None:
    support, query = LABELS.take(np.arange(8)), LABELS.take(np.arange(8, 12))
    unknown: LabelSet = dataclasses.replace(query, values=np.full(4, np.nan))
    model = AdaptedModel()
    assert model.adapted(support)(query).mean.tolist() == model.adapted(support)(unknown).mean.tolist()
