"""What is learnt later comes on top: nothing is forgotten, and a new task leaves what is said of others as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictor import Predictor
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata, LearnedSet
from predictor.models import Model, ModelError, get_model
from predictor.models.transfer import TransferModel
from predictor.networks.fitting import TrainingSettings
from tests.support.synthetic_sets import label_set

WEIGHTS = {"seg": [1.0, 0.3, -0.5, 0.2, 0.4], "cls": [0.3, 0.8, 0.1, -0.4, 0.0], "det": [-0.6, 0.5, 0.4, 0.0, 0.7]}
SEG, CLS, DET = (label_set(f"a/{task}/x", 150, weights, first=1000) for task, weights in WEIGHTS.items())
ASKED = {f"a/{task}/x": label_set(f"a/{task}/x", 80, weights, first=3000) for task, weights in WEIGHTS.items()}


@pytest.fixture(autouse=True, scope="module")
def _quick_lessons() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransferModel, "settings", TrainingSettings(5, 32, 4e-3, decays=True))
        patch.setattr(
            TransferModel, "settings_more", TrainingSettings(3, 32, 1e-3, decays=True, most=100, from_known=True)
        )
        yield


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 80 labels of seg and of cls."""
    model = get_model("default")(0)
    sets = [SEG.take(np.arange(80)), CLS.take(np.arange(80))]
    model.fit(sets)
    return saved(model, sets, tmp_path_factory.mktemp("predictors") / "000001")


def saved(model: Model, sets: list[LabelSet], folder: Path) -> Path:
    learned = tuple(LearnedSet(name=one.name, task=one.task, data=one.data, labels=len(one)) for one in sets)
    Predictor(model, GenerationMetadata(model=model.name, sets=learned)).save(folder)
    return folder


def more(folder: Path, sets: list[LabelSet], fresh: list[np.ndarray], made: Path) -> Predictor:
    model = Predictor.load(folder)._model
    model.update(sets, fresh)
    return Predictor.load(saved(model, sets, made))


def new(one: LabelSet, known: int) -> np.ndarray:
    return np.arange(len(one)) >= known


def test_a_new_task_changes_nothing_that_is_said_of_the_others(champion: Path, tmp_path: Path) -> None:
    sets = [DET, SEG.take(np.arange(80)), CLS.take(np.arange(80))]
    was = Predictor.load(champion)
    now = more(champion, sets, [new(DET, 0), new(sets[1], 80), new(sets[2], 80)], tmp_path / "000002")
    for name in ("a/seg/x", "a/cls/x"):
        before, after = was.predict_set(ASKED[name]), now.predict_set(ASKED[name])
        assert np.array_equal(before.mean, after.mean), name
        assert np.array_equal(before.deviation, after.deviation), name
    found = now.predict_set(ASKED["a/det/x"])
    assert spearmanr(found.mean, ASKED["a/det/x"].values)[0] > 0.8
    assert np.abs(found.mean - ASKED["a/det/x"].values).mean() < 0.1
    # Once it is learnt on, the others may hear of it.
    again = more(tmp_path / "000002", [DET, SEG, CLS], [new(DET, 150), new(SEG, 80), new(CLS, 80)], tmp_path / "000003")
    assert spearmanr(again.predict_set(ASKED["a/det/x"]).mean, ASKED["a/det/x"].values)[0] > 0.8


def test_new_labels_of_known_tasks_are_learnt_and_the_others_not_forgotten(champion: Path, tmp_path: Path) -> None:
    was = Predictor.load(champion)
    now = more(champion, [SEG, CLS.take(np.arange(80))], [new(SEG, 80), new(CLS, 80)[:80]], tmp_path / "000002")
    missed = {
        name: [float(np.abs(p.predict_set(asked).mean - asked.values).mean()) for p in (was, now)]
        for name, asked in ASKED.items()
        if name != "a/det/x"
    }
    assert missed["a/seg/x"][1] < missed["a/seg/x"][0]
    assert missed["a/cls/x"][1] < missed["a/cls/x"][0] * 1.1


def test_a_set_in_other_units_starts_from_what_it_knew(champion: Path) -> None:
    model = Predictor.load(champion)._model
    assert isinstance(model, TransferModel)
    before, slope_and_offset = model._network.scores(ASKED["a/seg/x"], 2), (0.7, 0.2)
    model._network.rescale(0, *slope_and_offset)
    after = model._network.scores(ASKED["a/seg/x"], 2)
    assert np.allclose(before[:, 0] * 0.7 + 0.2, after[:, 0], atol=1e-5)
    assert np.array_equal(before[:, 1], after[:, 1])


def test_hyper_parameters_are_found_anew_when_the_labels_have_grown_by_half(champion: Path) -> None:
    model = Predictor.load(champion)._model
    assert isinstance(model, TransferModel)
    thetas = [model._known[0]._process.state()["theta"]]
    for count in (110, 125):
        one = SEG.take(np.arange(count))
        model.update([one, CLS.take(np.arange(80))], [new(one, 80), new(CLS, 80)[:80]])
        thetas.append(model._known[0]._process.state()["theta"])
    assert np.array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[1], thetas[2])
    assert (model._known[0].tuned, model._known[0].labels) == (125, 125)


def test_from_nothing_it_learns_as_if_anew() -> None:
    model, anew = get_model("default")(0), get_model("default")(0)
    model.fit([])
    model.update([SEG.take(np.arange(60))], [new(SEG, 0)[:60]])
    anew.fit([SEG.take(np.arange(60))])
    for one in (model, anew):
        one.adapt(ASKED["a/seg/x"].take(np.arange(0)))
    assert np.array_equal(model.predict(ASKED["a/seg/x"]).mean, anew.predict(ASKED["a/seg/x"]).mean)


def test_what_cannot_be_done_is_one_line(champion: Path) -> None:
    with pytest.raises(ModelError, match="set a/cls/x: known, but not among the labels"):
        Predictor.load(champion)._model.update([SEG], [new(SEG, 80)])
    with pytest.raises(ModelError, match="model gp cannot be refreshed: train it anew"):
        get_model("gp")(0).update([SEG], [new(SEG, 80)])


def test_names_are_all_that_tells_sets_apart(champion: Path, tmp_path: Path) -> None:
    """A second recipe of a known task is a set of its own, and does change what is said of that task."""
    other = replace(SEG, name="a/seg/x/other", values=SEG.values + 0.2)
    sets = [SEG.take(np.arange(80)), CLS.take(np.arange(80)), other]
    now = more(champion, sets, [new(SEG, 80)[:80], new(CLS, 80)[:80], new(other, 0)], tmp_path / "000002")
    was = Predictor.load(champion)
    assert np.array_equal(was.predict_set(ASKED["a/cls/x"]).mean, now.predict_set(ASKED["a/cls/x"]).mean)
    assert not np.array_equal(was.predict_set(ASKED["a/seg/x"]).mean, now.predict_set(ASKED["a/seg/x"]).mean)
