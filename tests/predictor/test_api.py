"""A predictor is saved, loaded and adapted without changing its predictions; damage is reported in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictor import Predictor
from predictor.generation import GenerationError
from predictor.metadata import GenerationMetadata, LearnedSet
from predictor.models import ModelError, get_model
from predictor.models.aiop import AIOPBase
from predictor.models.transfer import TransferModel
from predictor.networks.fitting import TrainingSettings
from tests.support.synthetic_sets import label_set, random_graph

WEIGHTS = [1.0, 0.3, -0.5, 0.2, 0.4]
SETS = [label_set("a/seg/x", 80, WEIGHTS, first=1000), label_set("a/cls/x", 60, [0.5, 0.5, 0.1, 0.0, 0.0], first=1000)]
GRAPHS = [random_graph(seed) for seed in range(500, 540)]
VALUES = label_set("a/seg/x", 40, WEIGHTS, first=500).values


@pytest.fixture(scope="module", params=["default", "aiop"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AIOPBase, "pretraining", TrainingSettings(15, 32, 5e-3))
        patch.setattr(AIOPBase, "adapter_training", TrainingSettings(15, 32, 5e-3))
        patch.setattr(TransferModel, "fit_settings", TrainingSettings(4, 32, 4e-3))
        model = get_model(request.param)(0)
        model.fit(SETS)
    sets = tuple(LearnedSet(name=one.name, task=one.task, data=one.data, labels=len(one)) for one in SETS)
    return Predictor(model, GenerationMetadata(model=request.param, sets=sets))


def test_a_known_task_is_predicted_in_its_metric(predictor: Predictor) -> None:
    found = predictor.predict(GRAPHS, "seg")
    assert found.mean.shape == found.deviation.shape == (40,)
    assert (found.deviation > 0).all()
    if predictor.metadata.model == "default":
        assert spearmanr(found.mean, VALUES)[0] > 0.8
        assert np.abs(found.mean - VALUES).mean() < 0.08
    assert predictor.known == [("seg", "x"), ("cls", "x")]


def test_a_loaded_predictor_predicts_the_same(predictor: Predictor, tmp_path: Path) -> None:
    adapted = predictor.adapt(GRAPHS[:20], VALUES[:20], "depth")
    adapted.save(tmp_path / "saved")
    loaded = Predictor.load(tmp_path / "saved")
    for task in ("seg", "cls", "depth"):
        before, after = adapted.predict(GRAPHS, task), loaded.predict(GRAPHS, task)
        assert np.allclose(before.mean, after.mean, atol=1e-6), task
        assert np.allclose(before.deviation, after.deviation, atol=1e-6), task
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["generation.json", "saved", "weights.safetensors"]
    with pytest.raises(GenerationError, match="exists: choose another name"):
        loaded.save(tmp_path / "saved")


def test_adapting_again_replaces_the_labels(predictor: Predictor) -> None:
    again = predictor.adapt(GRAPHS[:8], VALUES[:8] + 3, "depth").adapt(GRAPHS[:8], VALUES[:8], "depth")
    once = predictor.adapt(GRAPHS[:8], VALUES[:8], "depth")
    assert np.allclose(again.predict(GRAPHS[8:12], "depth").mean, once.predict(GRAPHS[8:12], "depth").mean)


def test_adapting_does_not_change_the_first_predictor(predictor: Predictor) -> None:
    before = predictor.predict(GRAPHS, "seg").mean
    adapted = predictor.adapt(GRAPHS[:20], 10 * VALUES[:20] + 3, "depth")
    assert np.array_equal(predictor.predict(GRAPHS, "seg").mean, before)
    found = adapted.predict(GRAPHS[20:], "depth")
    assert abs(found.mean.mean() - (10 * VALUES[20:] + 3).mean()) < 1  # in the new unit
    assert np.array_equal(adapted.predict(GRAPHS, "seg").mean, before)
    with pytest.raises(ModelError, match="task depth: there are no labels, only of seg on x, cls on x: adapt it"):
        predictor.predict(GRAPHS, "depth")
    with pytest.raises(ModelError, match="task seg on y: there are no labels"):
        predictor.predict(GRAPHS, "seg", "y")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1] * 3, "40 graphs and values of shape"),
        ([float("nan")] * 40, "at least 3 labels, all of which must be finite"),
    ],
)
def test_unusable_labels_are_refused(predictor: Predictor, values: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        predictor.adapt(GRAPHS, values, "depth")


def test_damage_is_reported_in_one_line(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "saved")
    weights, description = tmp_path / "saved" / "weights.safetensors", tmp_path / "saved" / "generation.json"
    content, document = weights.read_bytes(), json.loads(description.read_text())
    for damaged, text, message in [
        (content[:-1] + bytes([content[-1] ^ 1]), document, "weights.safetensors: checksum mismatch"),
        (content, document | {"format": 7}, "has format 7, this version reads 1: train it again"),
        (content, document | {"reads": "?"}, "trained on graphs of another version"),
        (content, [], "has format None"),
        (content, {k: v for k, v in document.items() if k != "model"}, "generation.json: .*model.*: train it again"),
        (content, {k: v for k, v in document.items() if k != "learnt"}, "generation.json has no 'learnt': train it"),
        (content, document | {"learnt": 3}, "cannot be restored .*: train it again"),
    ]:
        weights.write_bytes(damaged)
        description.write_text(json.dumps(text))
        with pytest.raises(GenerationError, match=message):
            Predictor.load(tmp_path / "saved")
    description.write_text("{")
    with pytest.raises(GenerationError, match=r"generation\.json cannot be read"):
        Predictor.load(tmp_path / "saved")
    with pytest.raises(GenerationError, match="does not exist: make one with `orchestrator train`"):
        Predictor.load(tmp_path / "nothing")


def test_a_model_without_state_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model flops cannot be saved"):
        Predictor(get_model("flops")(0), GenerationMetadata(model="flops")).save(tmp_path / "saved")


def test_the_examples_of_the_guide_run(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "howto" / "predict.md").read_text()
    examples = [part.split("```")[0] for part in text.split("```python")[1:]]
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    predictor.save(tmp_path / "predictors" / "latest")
    exec("".join(examples), {})
    assert Predictor.load("predictors/with-depth").known[0] == ("depth", "adapted")
