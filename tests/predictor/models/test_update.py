"""An update forgets nothing, and a new task does not change predictions for others."""

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
from predictor.networks.fitting import NoCheckpointer, TrainingSettings
from tests.support.synthetic_sets import label_set

WEIGHTS = {"seg": [1.0, 0.3, -0.5, 0.2, 0.4], "cls": [0.3, 0.8, 0.1, -0.4, 0.0], "det": [-0.6, 0.5, 0.4, 0.0, 0.7]}
SEG, CLS, DET = (label_set(f"a/{task}/x", 150, weights, first=1000) for task, weights in WEIGHTS.items())
QUERIES = {f"a/{task}/x": label_set(f"a/{task}/x", 80, weights, first=3000) for task, weights in WEIGHTS.items()}


@pytest.fixture(autouse=True, scope="module")
def _short_training() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransferModel, "fit_settings", TrainingSettings(5, 32, 4e-3, cosine_decay=True))
        settings = TrainingSettings(3, 32, 1e-3, cosine_decay=True, epoch_graphs=100, warm_start=True)
        patch.setattr(TransferModel, "update_settings", settings)
        yield


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generation trained on 80 labels of seg and of cls."""
    model = get_model("default")(0)
    sets = [SEG.take(np.arange(80)), CLS.take(np.arange(80))]
    model.fit(sets)
    return saved(model, sets, tmp_path_factory.mktemp("predictors") / "000001")


def saved(model: Model, sets: list[LabelSet], folder: Path) -> Path:
    learned = tuple(LearnedSet(name=one.name, task=one.task, data=one.data, labels=len(one)) for one in sets)
    Predictor(model, GenerationMetadata(model=model.name, sets=learned)).save(folder)
    return folder


def updated(folder: Path, sets: list[LabelSet], fresh: list[np.ndarray], made: Path) -> Predictor:
    model = Predictor.load(folder)._model
    model.update(sets, fresh)
    return Predictor.load(saved(model, sets, made))


def new(one: LabelSet, known: int) -> np.ndarray:
    return np.arange(len(one)) >= known


def test_a_new_task_does_not_change_predictions_for_others(champion: Path, tmp_path: Path) -> None:
    sets = [DET, SEG.take(np.arange(80)), CLS.take(np.arange(80))]
    old = Predictor.load(champion)
    now = updated(champion, sets, [new(DET, 0), new(sets[1], 80), new(sets[2], 80)], tmp_path / "000002")
    for name in ("a/seg/x", "a/cls/x"):
        before, after = old.predict_set(QUERIES[name]), now.predict_set(QUERIES[name])
        assert np.array_equal(before.mean, after.mean), name
        assert np.array_equal(before.deviation, after.deviation), name
    found = now.predict_set(QUERIES["a/det/x"])
    assert spearmanr(found.mean, QUERIES["a/det/x"].values)[0] > 0.8
    assert np.abs(found.mean - QUERIES["a/det/x"].values).mean() < 0.1
    # Once the others are trained again, they may use it.
    again = updated(
        tmp_path / "000002", [DET, SEG, CLS], [new(DET, 150), new(SEG, 80), new(CLS, 80)], tmp_path / "000003"
    )
    assert spearmanr(again.predict_set(QUERIES["a/det/x"]).mean, QUERIES["a/det/x"].values)[0] > 0.8


def test_new_labels_improve_their_task_and_others_are_not_forgotten(champion: Path, tmp_path: Path) -> None:
    old = Predictor.load(champion)
    now = updated(champion, [SEG, CLS.take(np.arange(80))], [new(SEG, 80), new(CLS, 80)[:80]], tmp_path / "000002")
    errors = {
        name: [float(np.abs(p.predict_set(query).mean - query.values).mean()) for p in (old, now)]
        for name, query in QUERIES.items()
        if name != "a/det/x"
    }
    assert errors["a/seg/x"][1] < errors["a/seg/x"][0]
    assert errors["a/cls/x"][1] < errors["a/cls/x"][0] * 1.1


def described(sets: list[LabelSet]) -> GenerationMetadata:
    kinds = [(one.space, one.task, one.data, "full", "r") for one in sets]
    learned = (
        LearnedSet(name=one.name, task=one.task, data=one.data, labels=len(one), kind=kind)
        for one, kind in zip(sets, kinds, strict=True)
    )
    return GenerationMetadata(model="default", sets=tuple(learned))


def test_sets_are_added_without_the_labels_of_the_others(champion: Path, tmp_path: Path) -> None:
    old, few, all_of_det = Predictor.load(champion), [DET.take(np.arange(60))], [DET]
    old.extend(few, described(few)).save(tmp_path / "000002")
    now = Predictor.load(tmp_path / "000002")
    for name in ("a/seg/x", "a/cls/x"):
        before, after = old.predict_set(QUERIES[name]), now.predict_set(QUERIES[name])
        assert np.array_equal(before.mean, after.mean), name
    assert [(one.name, one.base) for one in now.metadata.sets] == [
        ("a/seg/x", True),
        ("a/cls/x", True),
        ("a/det/x", False),
    ]
    query = QUERIES["a/det/x"]
    errors = [float(np.abs(now.predict_set(query).mean - query.values).mean())]
    # An update gets the added sets alone, and is the same as adding them with all labels.
    refreshed = now.update(all_of_det, [new(DET, 60)], described(all_of_det), NoCheckpointer())
    errors.append(float(np.abs(refreshed.predict_set(query).mean - query.values).mean()))
    assert errors[1] < errors[0] < query.values.std()
    at_once = old.extend(all_of_det, described(all_of_det)).predict_set(query)
    assert np.array_equal(refreshed.predict_set(query).mean, at_once.mean)
    assert [one.base for one in refreshed.metadata.sets] == [True, True, False]


def test_other_models_cannot_be_extended() -> None:
    with pytest.raises(ModelError, match="model gp cannot be extended: train it, or extend default"):
        get_model("gp")(0).extend([DET])


def test_a_head_is_rescaled_to_another_unit(champion: Path) -> None:
    model = Predictor.load(champion)._model
    assert isinstance(model, TransferModel)
    network = model.sources.network
    assert network is not None
    before, slope_and_offset = network.scores(QUERIES["a/seg/x"], 2), (0.7, 0.2)
    network.rescale_head(0, *slope_and_offset)
    after = network.scores(QUERIES["a/seg/x"], 2)
    assert np.allclose(before[:, 0] * 0.7 + 0.2, after[:, 0], atol=1e-5)
    assert np.array_equal(before[:, 1], after[:, 1])


def test_hyperparameters_are_fitted_again_once_there_are_half_as_many_labels_more(champion: Path) -> None:
    model = Predictor.load(champion)._model
    assert isinstance(model, TransferModel)
    thetas = [model.sources.tasks[0].process.state()["theta"]]
    for count in (110, 125):
        one = SEG.take(np.arange(count))
        model.update([one, CLS.take(np.arange(80))], [new(one, 80), new(CLS, 80)[:80]])
        thetas.append(model.sources.tasks[0].process.state()["theta"])
    assert np.array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[1], thetas[2])
    assert (model.sources.tasks[0].fitted_labels, model.sources.tasks[0].labels) == (125, 125)


def test_an_update_without_source_tasks_equals_a_fit() -> None:
    model, again = get_model("default")(0), get_model("default")(0)
    model.fit([])
    model.update([SEG.take(np.arange(60))], [new(SEG, 0)[:60]])
    again.fit([SEG.take(np.arange(60))])
    for one in (model, again):
        one.adapt(QUERIES["a/seg/x"].take(np.arange(0)))
    assert np.array_equal(model.predict(QUERIES["a/seg/x"]).mean, again.predict(QUERIES["a/seg/x"]).mean)


def test_an_impossible_update_is_reported_in_one_line(champion: Path) -> None:
    with pytest.raises(ModelError, match="set a/cls/x: was trained on, but is missing: train again"):
        Predictor.load(champion)._model.update([SEG], [new(SEG, 80)])
    with pytest.raises(ModelError, match="model gp cannot be refreshed: train it again"):
        get_model("gp")(0).update([SEG], [new(SEG, 80)])


def test_sets_are_identified_by_their_names(champion: Path, tmp_path: Path) -> None:
    """A second recipe of a known task is a separate set, and changes the predictions for that task."""
    other = replace(SEG, name="a/seg/x/other", values=SEG.values + 0.2)
    sets = [SEG.take(np.arange(80)), CLS.take(np.arange(80)), other]
    now = updated(champion, sets, [new(SEG, 80)[:80], new(CLS, 80)[:80], new(other, 0)], tmp_path / "000002")
    old = Predictor.load(champion)
    assert np.array_equal(old.predict_set(QUERIES["a/cls/x"]).mean, now.predict_set(QUERIES["a/cls/x"]).mean)
    assert not np.array_equal(old.predict_set(QUERIES["a/seg/x"]).mean, now.predict_set(QUERIES["a/seg/x"]).mean)
