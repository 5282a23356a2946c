"""A generation comes from one version of a store, tells what it was tested on, and is found by the commands."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from orchestrator.cli.app import main
from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import next_generation, publish
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import read_snapshot
from orchestrator.predictors.training import Training, fit_and_test, hold_out_report, train_alone, train_predictor
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.graph import Graph
from predictor.models import ModelError
from predictor.models.transfer import TransferModel
from predictor.networks.fitting import NoCheckpointer, TrainingSettings
from tests.support.store_reports import report
from tests.support.synthetic_sets import random_graph
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport

GRAPHS = [random_graph(number) for number in range(140)]


def labelled(number: int, graph: Graph) -> AttemptReport:
    """The more FLOPs, the better."""
    made = report(task="seg", value=float(np.log2(graph.flops) / 40), graph=graph.to_json())
    request = dataclasses.replace(made.job.request, architecture=Architecture.of("cells", {"number": number}))
    return dataclasses.replace(made, job=dataclasses.replace(made.job, request=request))


@pytest.fixture
def store(tmp_path: Path) -> DeltaLabelStore:
    """120 labels in version 1, 140 in version 2; the empty table is version 0."""
    made = DeltaLabelStore(tmp_path / "labels")
    made.commit([labelled(number, graph) for number, graph in enumerate(GRAPHS[:120])])
    made.commit([labelled(number + 120, graph) for number, graph in enumerate(GRAPHS[120:])])
    return made


def training(tmp_path: Path, version: int = 2, model: str = "default") -> Training:
    return Training(str(tmp_path / "labels"), version, model, seed=0, workers=1, gpus=0.0)


def test_a_version_is_learnt_without_the_architectures_it_is_tested_on(
    store: DeltaLabelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TransferModel, "fit_settings", TrainingSettings(2, 32, 3e-3))
    predictor, tested = fit_and_test(training(tmp_path), Snapshot.nothing().grown(store, 1), NoCheckpointer())
    assert predictor.metadata.labels + len(tested[0]) == 120
    (row,) = hold_out_report(predictor, tested)
    assert (row.set_name, row.tested) == ("cells/seg/folder:/data", len(tested[0]))
    assert row.spearman > 0.8
    assert row.mae is not None
    assert row.mae < 3


def test_a_generation_on_ray(
    store: DeltaLabelStore,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    out = tmp_path / "predictors"
    (out / "_training").mkdir(parents=True)
    made, metadata = train_alone(training(tmp_path), out, lambda stage, done, total: None)
    assert made.name == "000001"
    assert (metadata.version, metadata.model, metadata.labels < 140) == (2, "default", True)
    assert sorted(path.name for path in out.iterdir()) == ["000001", "_replay", "_training", "latest"]
    assert list((out / "_training").iterdir()) == []
    assert read_snapshot(out / "_replay" / "000001").rows.num_rows == 140
    mean = Predictor.load(out / "latest").predict(GRAPHS, "seg").mean
    assert np.corrcoef(mean, [np.log2(graph.flops) for graph in GRAPHS])[0, 1] > 0.8

    monkeypatch.setattr(sys, "argv", ["orchestrator", "predict", "timm:resnet18", "timm:resnet34", "--task", "seg"])
    sys.argv += ["--predictor", str(out / "latest"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    small, large = json.loads(capsys.readouterr().out)
    assert (small["model"], small["params"]) == ("timm:resnet18", 11689512)
    assert large["flops"] > small["flops"]
    assert large["deviation"] > 0


def test_the_latest_is_the_one_published_last(tmp_path: Path) -> None:
    assert next_generation(tmp_path / "none").name == "000001"
    for number in (1, 2):
        made = next_generation(tmp_path)
        made.mkdir()
        publish(made)
        assert (tmp_path / "latest").resolve().name == f"{number:06d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "000002", "latest"]


def test_mistakes_are_one_line(store: DeltaLabelStore, tmp_path: Path) -> None:
    def show(stage: str, done: int, total: int) -> None:
        raise AssertionError("it began")

    with pytest.raises(ModelError, match="unknown model oracle"):
        train_predictor(training(tmp_path, model="oracle"), tmp_path / "out", show)
    with pytest.raises(ConfigError, match="it has no labels: make some"):
        train_predictor(training(tmp_path, version=-1), tmp_path / "out", show)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--out .*file.*: name a folder that can be written"):
        train_predictor(training(tmp_path), tmp_path / "file" / "out", show)
    (tmp_path / "out" / "_training").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out" / "_training" / "lock"),
        pytest.raises(ConfigError, match="another training or refresh writes to it"),
    ):
        train_predictor(training(tmp_path), tmp_path / "out", show)
