"""A predictor follows its labels: what is new is learnt, what harms is refused, and all of it is on record."""

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
from orchestrator.predictors import snapshot as replay_module
from orchestrator.predictors.decisions import RefreshRecord, read_records
from orchestrator.predictors.generations import champion, pin, pinned, place_of, pooled_score, unpin
from orchestrator.predictors.refresh.changes import NewLabels, NoChampion, NothingToDo, look
from orchestrator.predictors.refresh.history import history, predecessor
from orchestrator.predictors.refresh.run import Trained, Trainers, refresh
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.generation import GenerationError
from predictor.graph import Graph
from predictor.metadata import GenerationMetadata
from predictor.models.transfer import TransferModel
from tests.support import in_process_training as in_process
from tests.support.in_process_training import TRAINERS
from tests.support.labelled_networks import labelled, network

GRAPHS = [network(number) for number in range(300, 330)]


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    before = TransferModel.fit_settings, TransferModel.update_settings
    in_process.be_quick()
    yield
    TransferModel.fit_settings, TransferModel.update_settings = before


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 100 labels of seg in its store and a first generation that has learnt them."""
    place = tmp_path_factory.mktemp("begun")
    DeltaLabelStore(place / "labels").commit([labelled(number) for number in range(100)])
    outcome = again(place)
    assert isinstance(outcome, Trained)
    assert outcome.generation == 1
    return place


@pytest.fixture
def place(begun: Path, tmp_path: Path) -> Path:
    """A copy of it, with the champion's place as it was."""
    shutil.copytree(begun, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def again(place: Path, means: Trainers = TRAINERS) -> object:
    """One refresh. The store's name must stay: it is on record."""
    return refresh(str(place / "labels"), place / "predictors", means, lambda *_: None, lambda _: None)


def commit(place: Path, first: int, last: int, task: str = "seg", **fields: object) -> None:
    DeltaLabelStore(place / "labels").commit([labelled(n, task, **fields) for n in range(first, last)])  # type: ignore


def says(place: Path, task: str = "seg") -> np.ndarray:
    return Predictor.load(place / "predictors" / "latest").predict(GRAPHS, task).mean


def test_without_new_labels_nothing_is_done(place: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it learnt")

    outcome = again(place, Trainers(refuse, refuse))  # type: ignore[arg-type]
    assert outcome == NothingToDo("no label is newer than generation 1 (version 1 of the store)", 1)
    DeltaLabelStore(place / "labels").compact()
    DeltaLabelStore(place / "labels").commit([labelled(3)])
    assert isinstance(again(place, Trainers(refuse, refuse)), NothingToDo)  # type: ignore[arg-type]


def test_new_labels_make_a_generation_from_the_champion(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(place, 100, 140)
    read = list[str]()
    monkeypatch.setattr(
        replay_module.Graph, "from_json", lambda text, was=Graph.from_json: read.append(text) or was(text)
    )
    assert look(place / "predictors", str(place / "labels")) == NewLabels(1, 1, 2, 40)
    outcome = again(place)
    assert isinstance(outcome, RefreshRecord)
    assert (outcome.number, outcome.champion, outcome.decision, outcome.labels) == (2, 1, "promote", 40)
    assert len(read) == 40  # the champion's graphs are not read again
    assert outcome.figures is not None
    assert outcome.figures["pooled"]["champion"] > 0.5
    about = json.loads((place / "predictors" / "latest" / "generation.json").read_text())
    assert about["refreshed"] == {"from": "000001", "new": 40, "replay": None}
    assert (about["version"], about["suspects"]) == (2, {})
    assert sorted(path.name for path in (place / "predictors" / "_replay").iterdir()) == ["000002"]
    assert [path.name for path in (place / "predictors" / "_training").iterdir()] == ["lock"]
    assert isinstance(again(place), NothingToDo)
    rows = history(place / "predictors", champion(place / "predictors"), None)
    assert [(row["generation"], row["decision"], row["champion"]) for row in rows] == [
        (1, "train", False),
        (2, "promote", True),
    ]
    assert rows[1]["hold_out"] == pooled_score(GenerationMetadata.from_json(about).hold_out)


def test_a_new_task_leaves_the_others_as_they_were(place: Path) -> None:
    before = says(place)
    commit(place, 0, 60, "det")
    outcome = again(place)
    assert isinstance(outcome, RefreshRecord)
    assert outcome.decision == "promote"
    assert np.array_equal(says(place), before)
    assert np.corrcoef(says(place, "det"), [np.log2(graph.flops) for graph in GRAPHS])[0, 1] > 0.7


def test_a_second_recipe_changes_no_name(place: Path) -> None:
    """The first set's name in the store becomes longer; the champion goes on calling it as it did."""
    other = [labelled(n) for n in range(40)]
    for number, one in enumerate(other):
        recipe = one.job.request.recipe.model_copy(update={"steps": 720})
        request = dataclasses.replace(one.job.request, recipe=recipe)
        other[number] = dataclasses.replace(one, job=dataclasses.replace(one.job, request=request))
    DeltaLabelStore(place / "labels").commit(other)
    assert isinstance(again(place), RefreshRecord)
    commit(place, 100, 130)
    assert isinstance(again(place), RefreshRecord)
    names = [learned.name for learned in Predictor.load(place / "predictors" / "latest").metadata.sets]
    assert "cells/seg/folder:/data" in names
    assert len(names) == 2


def test_labels_turned_upside_down_are_refused_and_not_tried_twice(place: Path) -> None:
    before = says(place)
    flipped = [labelled(n, value=1.2 - float(np.log2(network(n).flops) / 40)) for n in range(100, 260)]
    DeltaLabelStore(place / "labels").commit(flipped)
    outcome = again(place)
    assert isinstance(outcome, RefreshRecord)
    assert outcome.decision == "keep", outcome.reason
    assert champion(place / "predictors") == 1
    assert np.array_equal(says(place), before)
    refused = again(place)
    assert isinstance(refused, NothingToDo)
    assert "the newest labels were tried, and generation 1 kept (pooled hold-out score" in refused.reason
    commit(place, 260, 265)
    assert look(place / "predictors", str(place / "labels")) == NewLabels(1, 1, 3, 165)
    rows = history(place / "predictors", 1, None)
    assert [(row["generation"], row["decision"], row["champion"]) for row in rows] == [
        (1, "train", True),
        (2, "keep", False),
    ]


def test_wild_labels_are_told_and_do_no_harm(place: Path) -> None:
    draw = np.random.default_rng(1)
    slice_ = [labelled(n, value=float(draw.uniform(3, 9)) if n % 10 == 0 else None) for n in range(100, 150)]
    DeltaLabelStore(place / "labels").commit(slice_)
    outcome = again(place)
    assert isinstance(outcome, RefreshRecord)
    (found,) = outcome.suspects.values()
    assert set(found) == {one.job.request.architecture.id for one in slice_[::10]}
    wanted = np.array([np.log2(graph.flops) / 40 for graph in GRAPHS])
    assert np.abs(says(place) - wanted).mean() < 0.05
    commit(place, 150, 170)
    again(place)
    # They stay suspect as long as the champion cannot believe them.
    told = Predictor.load(place / "predictors" / "latest").metadata.outliers
    assert set(next(iter(told.values()))) == set(found)


def test_a_pinned_generation_stays(place: Path) -> None:
    out = place / "predictors"
    commit(place, 100, 120)
    pin(place_of(out, 1))
    outcome = again(place)
    assert isinstance(outcome, NothingToDo)
    assert "generation 1 is pinned" in outcome.reason
    unpin(out)
    assert isinstance(again(place), RefreshRecord)
    assert champion(out) == 2
    pin(place_of(out, predecessor(out)))
    assert (champion(out), pinned(out)) == (1, 1)


def test_one_pinned_meanwhile_stays_too(place: Path) -> None:
    out = place / "predictors"
    commit(place, 100, 120)

    def more(*arguments: object) -> None:
        TRAINERS.more(*arguments)  # type: ignore[arg-type]
        pin(place_of(out, 1))

    outcome = again(place, Trainers(TRAINERS.first, more))
    assert isinstance(outcome, RefreshRecord)
    assert outcome.decision == "promote"
    assert champion(out) == 1
    assert place_of(out, 2).is_dir()


def test_of_two_refreshers_one_says_so(place: Path) -> None:
    commit(place, 100, 120)
    with (
        FileLock(place / "predictors" / "_training" / "lock"),
        pytest.raises(ConfigError, match="another training or refresh writes to it: wait for it, or name another"),
    ):
        again(place)
    assert isinstance(again(place), RefreshRecord)


class Killed(BaseException):
    """As by kill -9: nothing is tidied up."""


@pytest.mark.parametrize("where", ["publish", "drop_other_replays", "write_record", "replay_of"])
def test_a_promotion_that_was_killed_is_finished(place: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def die(*_: object) -> None:
        raise Killed

    commit(place, 100, 120)
    with monkeypatch.context() as patch:
        patch.setattr(promotion, where, die)
        with pytest.raises(Killed):
            again(place)
    Predictor.load(place / "predictors" / "latest")
    assert not read_records(place / "predictors")[0].done
    again(place)
    assert champion(place / "predictors") == 2
    assert [record.done for record in read_records(place / "predictors")] == [True]
    assert [path.name for path in (place / "predictors" / "_replay").iterdir()] == ["000002"]
    assert isinstance(again(place), NothingToDo)


def test_a_lesson_that_was_learnt_is_not_learnt_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(place, 100, 120)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.predictors.refresh.run.decide", die)
        with pytest.raises(Killed):
            again(place)
    monkeypatch.setattr("orchestrator.predictors.refresh.candidate.Predictor", None)
    assert isinstance(again(place), RefreshRecord)


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_without_its_replay_the_store_is_read(place: Path, damage: str) -> None:
    snapshot = place / "predictors" / "_replay" / "000001"
    if damage == "gone":
        shutil.rmtree(snapshot)
    else:
        content = (snapshot / "graphs.safetensors").read_bytes()
        (snapshot / "graphs.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    commit(place, 100, 120)
    outcome = again(place)
    assert isinstance(outcome, RefreshRecord)
    assert outcome.labels == 20
    refreshed = Predictor.load(place / "predictors" / "latest").metadata.refreshed
    assert refreshed is not None
    problem = "there is none" if damage == "gone" else "graphs.safetensors is not as it was written"
    assert problem in str(refreshed.snapshot_problem)


def test_mistakes_are_one_line(place: Path, tmp_path: Path) -> None:
    out = place / "predictors"
    with pytest.raises(ConfigError, match=r"--store .*nothing: it has no labels: make some"):
        look(out, str(tmp_path / "nothing"))
    assert look(tmp_path / "none", str(place / "labels")) == NoChampion(1)
    content = (out / "000001" / "weights.safetensors").read_bytes()
    (out / "000001" / "weights.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    commit(place, 100, 110)
    with pytest.raises(GenerationError, match=r"000001: weights.safetensors: checksum mismatch: restore it"):
        again(place)
    about = (out / "000001" / "generation.json").read_text()
    (out / "000001" / "generation.json").write_text(about.replace('"model": "default"', '"model": "aiop"'))
    with pytest.raises(ConfigError, match="generation 1 is of model aiop, which cannot learn more: train default"):
        look(out, str(place / "labels"))
    (out / "000001" / "generation.json").write_text(about.replace('"version": 1,', '"version": 7,'))
    with pytest.raises(ConfigError, match="has version 2, generation 1 learnt from 7: name the store that it learnt"):
        look(out, str(place / "labels"))
    with pytest.raises(ConfigError, match="there is no generation before this one"):
        predecessor(out)
