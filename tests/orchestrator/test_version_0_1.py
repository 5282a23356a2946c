"""What version 0.1 wrote: its stores open, its generations predict the same, its requests keep their keys.

`tests/fixtures/v0_1` was written by version 0.1: a store of 140 labels with graphs, two generations of the model
`default` made from it, one of `aiop`, what all three predicted, and the keys of the requests of 55 campaigns. What
`default` predicts after `adapt` was recorded again when its regression on few labels changed (decision 31).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from tests.support.labelled_networks import labelled, network

WRITTEN = Path(__file__).parents[1] / "fixtures" / "v0_1"
CAMPAIGNS = json.loads((WRITTEN / "label_keys.json").read_text())
PREDICTIONS = json.loads((WRITTEN / "predictions.json").read_text())


def test_the_fixture_covers_tasks_spaces_and_fidelities() -> None:
    campaigns = [entry["campaign"] for entry in CAMPAIGNS]
    assert len({key for entry in CAMPAIGNS for key in entry["keys"]}) >= 50
    assert {campaign["task"] for campaign in campaigns} == {"cls", "det", "iseg", "pano", "pose", "seg"}
    assert len({campaign.get("space") for campaign in campaigns} - {None}) == 7
    assert {campaign.get("fidelity", "shared") for campaign in campaigns} == {"full", "proxy", "shared"}


@pytest.mark.parametrize("task", ["cls", "det", "iseg", "pano", "pose", "seg"])
def test_requests_keep_their_keys(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the old number of the pipeline, every request has the key that version 0.1 gave it."""
    monkeypatch.setattr("workers.messages.recipe_files.PIPELINE", 1)
    for entry in CAMPAIGNS:
        if entry["campaign"]["task"] != task:
            continue
        plan = plan_campaign(CampaignConfig.checked(**entry["campaign"]))
        requests = [*plan.requests[:4], *plan.audit]
        assert [key for request in requests for key in request.keys] == entry["keys"], entry["campaign"]
        assert requests[0].recipe.hash == entry["recipes"][0]
        assert [request.architecture.id for request in requests[:2]] == entry["architectures"]


def test_a_store_opens_and_takes_new_labels(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "store", tmp_path / "store")
    store = DeltaLabelStore(tmp_path / "store")
    assert (len(store.labels()), len(store.attempts()), store.version()) == (140, 140, 3)
    assert len(store.graphs()) == 140
    assert store.commit([labelled(0)]).duplicates == 1  # the key of a label that is there
    assert store.commit([labelled(1000)]).labels == 1
    assert len(store.labels()) == 141


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_generation_predicts_the_same(name: str) -> None:
    predictor = Predictor.load(WRITTEN / name)
    queries = [network(number) for number in range(200, 212)]
    few, many = ([network(number) for number in range(300, 300 + count)] for count in (5, 20))
    values = [0.1 + 0.01 * number * (number % 3) for number in range(20)]
    predictions = {
        "zero-label": predictor.predict(queries, task="seg"),
        "5 labels of a new task": predictor.adapt(few, [0.1, 0.3, 0.2, 0.5, 0.4], task="depth").predict(
            queries, "depth"
        ),
        "20 labels of a known task": predictor.adapt(many, values, task="seg", data="other").predict(
            queries, task="seg", data="other"
        ),
    }
    for case, prediction in predictions.items():
        expected = [np.array([float.fromhex(text) for text in row]) for row in PREDICTIONS[name][case]]
        for found, wanted in zip(prediction, expected, strict=True):
            # The same bits on the machine that wrote it; other processors may round otherwise.
            np.testing.assert_allclose(found, wanted, rtol=1e-4, err_msg=case)


def test_refreshes_continue_from_an_old_folder_of_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import in_process_training

    shutil.copytree(WRITTEN / "store", tmp_path / "labels")
    shutil.copytree(WRITTEN / "predictors", tmp_path / "predictors", symlinks=True)
    store = DeltaLabelStore(tmp_path / "labels")
    store.commit([labelled(number) for number in range(100, 130)])
    for file in (tmp_path / "predictors").rglob("*.json"):
        file.write_text(file.read_text().replace("/data/store", str(tmp_path / "labels")))
    outcome: Any = in_process_training.refresh_in(str(tmp_path))
    assert (outcome.champion, outcome.number, outcome.new_labels) == (2, 3, 30)
