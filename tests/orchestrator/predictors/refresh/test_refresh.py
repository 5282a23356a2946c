"""A refresh trains on new labels, refuses a candidate that is worse, and records every decision."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from orchestrator.errors import ConfigError
from orchestrator.predictors import promotion
from orchestrator.predictors import snapshot as snapshot_module
from orchestrator.predictors.decisions import RefreshRecord, read_records
from orchestrator.predictors.generations import (
    champion_number,
    generation_folder,
    pin,
    pinned_number,
    pooled_score,
    unpin,
)
from orchestrator.predictors.refresh.changes import NewLabels, NoChampion, NothingToDo, find_new_labels
from orchestrator.predictors.refresh.history import history, previous_champion
from orchestrator.predictors.refresh.run import Trained, Trainers, refresh
from orchestrator.predictors.verdict import Verdict
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.generation import GenerationError
from predictor.graph import Graph
from predictor.metadata import GenerationMetadata
from predictor.models.transfer import TransferModel
from tests.support import in_process_training
from tests.support.in_process_training import TRAINERS
from tests.support.labelled_networks import labelled, network

GRAPHS = [network(number) for number in range(300, 330)]


@pytest.fixture(autouse=True, scope="module")
def _few_epochs() -> Iterator[None]:
    before = TransferModel.fit_settings, TransferModel.update_settings
    in_process_training.use_few_epochs()
    yield
    TransferModel.fit_settings, TransferModel.update_settings = before


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of 100 labels of seg and a first generation that was trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    DeltaLabelStore(folder / "labels").commit([labelled(number) for number in range(100)])
    outcome = run_refresh(folder)
    assert isinstance(outcome, Trained)
    assert outcome.generation == 1
    return folder


@pytest.fixture
def folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A copy of the trained folder."""
    shutil.copytree(trained_folder, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def run_refresh(folder: Path, trainers: Trainers = TRAINERS) -> object:
    """Run one refresh of FOLDER/predictors on FOLDER/labels."""
    return refresh(str(folder / "labels"), folder / "predictors", trainers, lambda *_: None, lambda _: None)


def commit(folder: Path, first: int, last: int, task: str = "seg", **fields: object) -> None:
    DeltaLabelStore(folder / "labels").commit([labelled(n, task, **fields) for n in range(first, last)])  # type: ignore


def predicted_means(folder: Path, task: str = "seg") -> np.ndarray:
    return Predictor.load(folder / "predictors" / "latest").predict(GRAPHS, task).mean


def test_without_new_labels_nothing_is_done(folder: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a training started")

    outcome = run_refresh(folder, Trainers(refuse, refuse))  # type: ignore[arg-type]
    assert outcome == NothingToDo("no label is newer than generation 1 (version 1 of the store)", 1)
    DeltaLabelStore(folder / "labels").compact()
    DeltaLabelStore(folder / "labels").commit([labelled(3)])
    assert isinstance(run_refresh(folder, Trainers(refuse, refuse)), NothingToDo)  # type: ignore[arg-type]


def test_the_champion_is_updated_on_new_labels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(folder, 100, 140)
    read = list[str]()
    monkeypatch.setattr(
        snapshot_module.Graph, "from_json", lambda text, parse=Graph.from_json: read.append(text) or parse(text)
    )
    assert find_new_labels(folder / "predictors", str(folder / "labels")) == NewLabels(1, 1, 2, 40)
    outcome = run_refresh(folder)
    assert isinstance(outcome, RefreshRecord)
    assert (outcome.number, outcome.champion, outcome.verdict, outcome.new_labels) == (2, 1, Verdict.PROMOTE, 40)
    assert len(read) == 40  # only the new graphs
    assert outcome.figures is not None
    assert outcome.figures.pooled.champion > 0.5
    about = json.loads((folder / "predictors" / "latest" / "generation.json").read_text())
    assert about["refreshed"] == {"from": "000001", "new": 40, "replay": None}
    assert (about["version"], about["suspects"]) == (2, {})
    assert sorted(path.name for path in (folder / "predictors" / "_replay").iterdir()) == ["000002"]
    assert [path.name for path in (folder / "predictors" / "_training").iterdir()] == ["lock"]
    assert isinstance(run_refresh(folder), NothingToDo)
    rows = history(folder / "predictors", champion_number(folder / "predictors"), None)
    assert [(row["generation"], row["decision"], row["champion"]) for row in rows] == [
        (1, "train", False),
        (2, "promote", True),
    ]
    assert rows[1]["hold_out"] == pooled_score(GenerationMetadata.from_json(about).hold_out)


def test_a_new_task_does_not_change_the_others(folder: Path) -> None:
    before = predicted_means(folder)
    commit(folder, 0, 60, "det")
    outcome = run_refresh(folder)
    assert isinstance(outcome, RefreshRecord)
    assert outcome.verdict is Verdict.PROMOTE
    assert np.array_equal(predicted_means(folder), before)
    assert np.corrcoef(predicted_means(folder, "det"), [np.log2(graph.flops) for graph in GRAPHS])[0, 1] > 0.7


def test_a_second_recipe_changes_no_set_name(folder: Path) -> None:
    """The first set's name becomes longer in the store; generations keep the name that the champion has for it."""
    reports = [labelled(n) for n in range(40)]
    for number, report in enumerate(reports):
        recipe = report.job.request.recipe.model_copy(update={"steps": 720})
        request = dataclasses.replace(report.job.request, recipe=recipe)
        reports[number] = dataclasses.replace(report, job=dataclasses.replace(report.job, request=request))
    DeltaLabelStore(folder / "labels").commit(reports)
    assert isinstance(run_refresh(folder), RefreshRecord)
    commit(folder, 100, 130)
    assert isinstance(run_refresh(folder), RefreshRecord)
    names = [learned.name for learned in Predictor.load(folder / "predictors" / "latest").metadata.sets]
    assert "cells/seg/folder:/data" in names
    assert len(names) == 2


def test_a_candidate_of_flipped_labels_is_refused_and_not_trained_twice(folder: Path) -> None:
    before = predicted_means(folder)
    flipped = [labelled(n, value=1.2 - float(np.log2(network(n).flops) / 40)) for n in range(100, 260)]
    DeltaLabelStore(folder / "labels").commit(flipped)
    outcome = run_refresh(folder)
    assert isinstance(outcome, RefreshRecord)
    assert outcome.verdict is Verdict.KEEP, outcome.reason
    assert champion_number(folder / "predictors") == 1
    assert np.array_equal(predicted_means(folder), before)
    refused = run_refresh(folder)
    assert isinstance(refused, NothingToDo)
    assert "the newest labels were tried, and generation 1 was kept (pooled hold-out score" in refused.reason
    commit(folder, 260, 265)
    assert find_new_labels(folder / "predictors", str(folder / "labels")) == NewLabels(1, 1, 3, 165)
    rows = history(folder / "predictors", 1, None)
    assert [(row["generation"], row["decision"], row["champion"]) for row in rows] == [
        (1, "train", True),
        (2, "keep", False),
    ]


def test_outliers_are_recorded_and_do_no_harm(folder: Path) -> None:
    rng = np.random.default_rng(1)
    reports = [labelled(n, value=float(rng.uniform(3, 9)) if n % 10 == 0 else None) for n in range(100, 150)]
    DeltaLabelStore(folder / "labels").commit(reports)
    outcome = run_refresh(folder)
    assert isinstance(outcome, RefreshRecord)
    (outliers,) = outcome.outliers.values()
    assert set(outliers) == {report.job.request.architecture.id for report in reports[::10]}
    true_values = np.array([np.log2(graph.flops) / 40 for graph in GRAPHS])
    assert np.abs(predicted_means(folder) - true_values).mean() < 0.05
    commit(folder, 150, 170)
    run_refresh(folder)
    # They remain outliers until the champion's predictions come close.
    later = Predictor.load(folder / "predictors" / "latest").metadata.outliers
    assert set(next(iter(later.values()))) == set(outliers)


def test_a_pinned_generation_stays_champion(folder: Path) -> None:
    out = folder / "predictors"
    commit(folder, 100, 120)
    pin(generation_folder(out, 1))
    outcome = run_refresh(folder)
    assert isinstance(outcome, NothingToDo)
    assert "generation 1 is pinned" in outcome.reason
    unpin(out)
    assert isinstance(run_refresh(folder), RefreshRecord)
    assert champion_number(out) == 2
    pin(generation_folder(out, previous_champion(out)))
    assert (champion_number(out), pinned_number(out)) == (1, 1)


def test_a_generation_pinned_during_the_training_stays_champion(folder: Path) -> None:
    out = folder / "predictors"
    commit(folder, 100, 120)

    def train_and_pin(*arguments: object) -> None:
        TRAINERS.train_candidate(*arguments)  # type: ignore[arg-type]
        pin(generation_folder(out, 1))

    outcome = run_refresh(folder, Trainers(TRAINERS.train_first, train_and_pin))
    assert isinstance(outcome, RefreshRecord)
    assert outcome.verdict is Verdict.PROMOTE
    assert champion_number(out) == 1
    assert generation_folder(out, 2).is_dir()


def test_a_second_refresh_is_an_error(folder: Path) -> None:
    commit(folder, 100, 120)
    with (
        FileLock(folder / "predictors" / "_training" / "lock"),
        pytest.raises(ConfigError, match="another training or refresh writes to it: wait for it, or name"),
    ):
        run_refresh(folder)
    assert isinstance(run_refresh(folder), RefreshRecord)


class Killed(BaseException):
    """Ends a refresh like kill -9, without cleaning up."""


@pytest.mark.parametrize("where", ["publish", "drop_other_snapshots", "write_record", "snapshot_folder"])
def test_the_next_refresh_finishes_a_killed_promotion(
    folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def die(*_: object) -> None:
        raise Killed

    commit(folder, 100, 120)
    with monkeypatch.context() as patch:
        patch.setattr(promotion, where, die)
        with pytest.raises(Killed):
            run_refresh(folder)
    Predictor.load(folder / "predictors" / "latest")
    assert not read_records(folder / "predictors")[0].done
    run_refresh(folder)
    assert champion_number(folder / "predictors") == 2
    assert [record.done for record in read_records(folder / "predictors")] == [True]
    assert [path.name for path in (folder / "predictors" / "_replay").iterdir()] == ["000002"]
    assert isinstance(run_refresh(folder), NothingToDo)


def test_a_trained_candidate_is_not_trained_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(folder, 100, 120)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.predictors.refresh.run.decide", die)
        with pytest.raises(Killed):
            run_refresh(folder)
    monkeypatch.setattr("orchestrator.predictors.refresh.candidate.Predictor", None)
    assert isinstance(run_refresh(folder), RefreshRecord)


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_without_its_snapshot_the_store_is_read(folder: Path, damage: str) -> None:
    snapshot = folder / "predictors" / "_replay" / "000001"
    if damage == "gone":
        shutil.rmtree(snapshot)
    else:
        content = (snapshot / "graphs.safetensors").read_bytes()
        (snapshot / "graphs.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    commit(folder, 100, 120)
    outcome = run_refresh(folder)
    assert isinstance(outcome, RefreshRecord)
    assert outcome.new_labels == 20
    refreshed = Predictor.load(folder / "predictors" / "latest").metadata.refreshed
    assert refreshed is not None
    problem = "does not exist" if damage == "gone" else "graphs.safetensors: checksum mismatch"
    assert problem in str(refreshed.snapshot_problem)


def test_user_errors_are_one_line(folder: Path, tmp_path: Path) -> None:
    out = folder / "predictors"
    with pytest.raises(ConfigError, match=r"--store .*nothing: has no labels: make some"):
        find_new_labels(out, str(tmp_path / "nothing"))
    assert find_new_labels(tmp_path / "none", str(folder / "labels")) == NoChampion(1)
    content = (out / "000001" / "weights.safetensors").read_bytes()
    (out / "000001" / "weights.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    commit(folder, 100, 110)
    with pytest.raises(GenerationError, match=r"000001: weights.safetensors: checksum mismatch: restore it"):
        run_refresh(folder)
    about = (out / "000001" / "generation.json").read_text()
    (out / "000001" / "generation.json").write_text(about.replace('"model": "default"', '"model": "aiop"'))
    with pytest.raises(ConfigError, match="generation 1 is of model aiop, which cannot be updated: train"):
        find_new_labels(out, str(folder / "labels"))
    (out / "000001" / "generation.json").write_text(about.replace('"version": 1,', '"version": 7,'))
    with pytest.raises(ConfigError, match="has version 2, generation 1 was trained on version 7: name the store that"):
        find_new_labels(out, str(folder / "labels"))
    with pytest.raises(ConfigError, match="there is no generation before this one"):
        previous_champion(out)
