"""`orchestrator demo`, with an evaluator that does not train and a predictor that is trained in this process."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from orchestrator.predictors import training
from orchestrator.predictors.generations import next_generation, publish
from orchestrator.predictors.labelled_networks import build_for_task, data_size
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.training import TrainingRequest, fit_predictor, save_generation
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_metadata
from predictor.graph import trace
from predictor.networks.fitting import NoCheckpointer
from tests.support.label_in_process import Printed, label_with, run
from workers.errors import DivergedFailure
from workers.messages.label import LabelJob, Measurement


def _by_convolutions(job: LabelJob) -> Measurement:
    """The more and the larger its convolutions, the better a network."""
    asked = job.request
    operations = asked.architecture.values["ops"]
    value = 0.2 + 0.03 * operations.count("nor_conv_3x3") + 0.01 * operations.count("nor_conv_1x1")
    network = build_for_task(asked.architecture, asked.recipe, asked.task, data_size(asked.data, asked.task))
    graph = trace(network, (3, *asked.recipe.input_size))
    costs = float(graph.flops), float(graph.params)
    return Measurement(value, "miou", {"miou": value}, *costs, {"train": 1.0}, graph=graph.to_json())


def _train_here(request: TrainingRequest, folder: Path, show: Any) -> tuple[Path, Any]:
    snapshot = Snapshot.empty().updated_to(DeltaLabelStore(request.store), request.version)
    predictor, held_out = fit_predictor(request, snapshot, NoCheckpointer())
    folder.mkdir(parents=True, exist_ok=True)
    generation = next_generation(folder)
    save_generation(generation, predictor, held_out, snapshot)
    publish(generation)
    return generation, read_metadata(generation)


@pytest.fixture
def demo_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.ray_runtime.session.ray_session", lambda *_: nullcontext())
    monkeypatch.setattr(training, "train_predictor", _train_here)
    return tmp_path


def test_the_demo_predicts_what_it_then_measures(
    demo_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = label_with(monkeypatch, _by_convolutions)
    printed = run(monkeypatch, capsys, "demo", "--json")
    assert printed.code == 0, printed.err
    document = printed.document
    assert len(reached) == document["labels"] == 24
    assert len(document["networks"]) == 8
    learned = {request.architecture.genotype for request in reached[:16]}
    assert learned.isdisjoint(row["genotype"] for row in document["networks"])
    assert document["rank_correlation"] > 0.7
    assert document["mean_error"] < 0.02
    assert (demo_in / "demo" / "report.html").stat().st_size > 10_000
    again = run(monkeypatch, capsys, "demo")
    assert len(reached) == 24  # nothing is labelled twice
    assert "has a generation already" in again.err
    assert "predicted before they were labelled" in again.out


def test_a_demo_whose_labels_fail_says_why_and_stops(
    demo_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverge(job: LabelJob) -> Measurement:
        raise DivergedFailure("the loss is not finite")

    label_with(monkeypatch, diverge)
    printed = run(monkeypatch, capsys, "demo")
    assert printed.code == 1
    assert "16 labels missing: 16 because of" in printed.err
    assert not (demo_in / "demo" / "predictors").exists()


def test_a_file_of_that_name_is_an_error(
    demo_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (demo_in / "demo").write_text("mine")
    printed: Printed = run(monkeypatch, capsys, "demo")
    assert (printed.code, printed.err) == (2, "error: --folder demo: is a file: name a folder\n")
