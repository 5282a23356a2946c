"""A generation is trained on one store version, scored on its hold-out, and used by the commands."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from orchestrator.cli.app import main
from orchestrator.errors import ConfigError
from orchestrator.predictors.decisions import RefreshRecord
from orchestrator.predictors.generations import next_generation, publish
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import read_snapshot
from orchestrator.predictors.training import (
    TrainingRequest,
    fit_predictor,
    hold_out_report,
    save_generation,
    train_generation,
    train_predictor,
)
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.generation import read_metadata
from predictor.graph import Graph
from predictor.models import ModelError
from predictor.models.transfer import TransferModel
from predictor.networks.fitting import NoCheckpointer, TrainingSettings
from tests.support.in_process_training import refresh_in, train_first, use_few_epochs
from tests.support.store_reports import report
from tests.support.synthetic_sets import random_graph
from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport

GRAPHS = [random_graph(number) for number in range(140)]


def labelled(number: int, graph: Graph) -> AttemptReport:
    """A label that grows with the FLOPs."""
    template = report(task="seg", value=float(np.log2(graph.flops) / 40), graph=graph.to_json())
    request = dataclasses.replace(template.job.request, architecture=Architecture.of("cells", {"number": number}))
    return dataclasses.replace(template, job=dataclasses.replace(template.job, request=request))


@pytest.fixture
def store(tmp_path: Path) -> DeltaLabelStore:
    """120 labels in version 1, 140 in version 2; the empty table is version 0."""
    label_store = DeltaLabelStore(tmp_path / "labels")
    label_store.commit([labelled(number, graph) for number, graph in enumerate(GRAPHS[:120])])
    label_store.commit([labelled(number + 120, graph) for number, graph in enumerate(GRAPHS[120:])])
    return label_store


def training_request(tmp_path: Path, version: int = 2, model: str = "default") -> TrainingRequest:
    return TrainingRequest(str(tmp_path / "labels"), version, model, seed=0, workers=1, gpus=0.0)


def test_the_hold_out_is_not_trained_on(
    store: DeltaLabelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TransferModel, "fit_settings", TrainingSettings(2, 32, 3e-3))
    predictor, held_out = fit_predictor(
        training_request(tmp_path), Snapshot.empty().updated_to(store, 1), NoCheckpointer()
    )
    assert predictor.metadata.labels + len(held_out[0]) == 120
    (row,) = hold_out_report(predictor, held_out)
    assert (row.set_name, row.tested) == ("cells/seg/folder:/data", len(held_out[0]))
    assert row.spearman > 0.8
    assert row.mae is not None
    assert row.mae < 3


def test_a_generation_is_trained_on_ray(
    store: DeltaLabelStore,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    out = tmp_path / "predictors"
    (out / "_training").mkdir(parents=True)
    generation, metadata = train_generation(training_request(tmp_path), out, lambda stage, done, total: None)
    assert generation.name == "000001"
    assert (metadata.version, metadata.model, metadata.labels < 140) == (2, "default", True)
    assert sorted(path.name for path in out.iterdir()) == ["000001", "_replay", "_training", "latest"]
    assert list((out / "_training").iterdir()) == []
    assert read_snapshot(out / "_replay" / "000001").rows.num_rows == 140
    mean = Predictor.load(out / "latest").predict(GRAPHS, "seg").mean
    assert np.corrcoef(mean, [np.log2(graph.flops) for graph in GRAPHS])[0, 1] > 0.8

    monkeypatch.setattr(sys, "argv", ["orchestrator", "predict", "timm:resnet18", "timm:resnet34", "--task", "seg"])
    sys.argv += ["--predictor", str(out / "latest"), "--head", "none", "--json"]
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    small, large = json.loads(capsys.readouterr().out)
    assert (small["model"], small["params"]) == ("timm:resnet18", 11689512)
    assert (small["network"], small["far"]) == ("resnet18 + own head, 96x128", True)
    assert large["flops"] > small["flops"]
    assert large["deviation"] > 0


def test_labels_are_added_to_a_base_and_refreshed_there(
    store: DeltaLabelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_few_epochs()
    other = DeltaLabelStore(tmp_path / "other")
    other.commit([labelled(number + 500, random_graph(number + 500)) for number in range(60)])
    base = train_first(str(tmp_path / "other"), 1, tmp_path / "bases", lambda *_: None)[0]
    request = dataclasses.replace(training_request(tmp_path, version=1), base=str(base))
    snapshot = Snapshot.empty().updated_to(store, 1)
    predictor, held_out = fit_predictor(request, snapshot, NoCheckpointer())
    generation = next_generation(tmp_path / "predictors")
    save_generation(generation, predictor, held_out, snapshot)
    publish(generation)
    first = read_metadata(generation)
    assert [(learned.base, learned.labels > 0) for learned in first.sets] == [
        (False, True)
    ]  # of the same kind as the base
    assert first.hold_out[0].spearman > 0.7
    outcome = refresh_in(str(tmp_path))
    assert isinstance(outcome, RefreshRecord)
    assert outcome.new_labels == 20


def test_equal_requests_share_a_checkpoint_folder_also_across_versions() -> None:
    request = TrainingRequest("/labels", 2, "default", 0, 1, 0.0)
    assert request.name == "db63f84f81b9"
    assert dataclasses.replace(request, version=3).name != request.name


def test_latest_points_to_the_last_published(tmp_path: Path) -> None:
    assert next_generation(tmp_path / "none").name == "000001"
    for number in (1, 2):
        generation = next_generation(tmp_path)
        generation.mkdir()
        publish(generation)
        assert (tmp_path / "latest").resolve().name == f"{number:06d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "000002", "latest"]


def test_user_errors_are_one_line(store: DeltaLabelStore, tmp_path: Path) -> None:
    def show(stage: str, done: int, total: int) -> None:
        raise AssertionError("the training started")

    with pytest.raises(ModelError, match="unknown model oracle"):
        train_predictor(training_request(tmp_path, model="oracle"), tmp_path / "out", show)
    with pytest.raises(ConfigError, match="has no labels: make some"):
        train_predictor(training_request(tmp_path, version=-1), tmp_path / "out", show)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--predictors .*file.*: name a folder that can be written"):
        train_predictor(training_request(tmp_path), tmp_path / "file" / "out", show)
    (tmp_path / "out" / "_training").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out" / "_training" / "lock"),
        pytest.raises(ConfigError, match="another training or refresh writes to it"),
    ):
        train_predictor(training_request(tmp_path), tmp_path / "out", show)
