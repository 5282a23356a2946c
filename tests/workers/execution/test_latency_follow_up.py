"""A worker measures the latency of what it labels: a separate label, before the one that was asked for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from predictor.graph import Graph, trace
from tests.support.store_reports import report
from workers.data import open_data
from workers.errors import LatencyError
from workers.execution import latency_follow_up
from workers.execution.attempt import run_attempt
from workers.execution.latency_follow_up import LatencyFollowUp, measure_job
from workers.latency import measurement
from workers.latency.settings import LatencySettings
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.recipe import Recipe
from workers.spaces import get_space
from workers.storage.folder_spool import FolderSpool
from workers.tasks import get_task
from workers.training.full import build_network

SETTINGS = LatencySettings(threads=1, warm_up=0, repeats=5, seconds=1)
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"


@pytest.fixture
def job() -> LabelJob:
    recipe = Recipe(name="seg.tiny", task="seg", input_size=(32, 32), steps=200, lr=0.1)
    architecture = get_space("nasbench201").parse(CELL)
    return LabelJob(LabelRequest(architecture, "seg", "shapes", "f00d", "full", recipe, 0), "c", attempt=2)


def scripted(job: LabelJob) -> Measurement:
    return Measurement(0.5, "miou", {}, 1.0, 1.0, {})


def test_the_latency_is_in_the_spool_with_the_label(job: LabelJob, tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    asked = run_attempt(LatencyFollowUp(scripted, SETTINGS, spool), job, spool)
    latency, label = sorted(spool.read(), key=lambda one: one.job.request.task)
    assert label == asked
    made = latency.job.request
    assert (made.task, made.fidelity, made.data.partition(":")[0]) == ("latency", "measured", "cpu")
    assert (latency.job.campaign, latency.outcome) == ("c", Outcome.OK)
    assert latency.measurement is not None
    assert latency.measurement.value > 0
    vocabulary = open_data("shapes", "seg").vocabulary("seg")
    network = build_network(made.architecture, job.request.recipe, get_task("seg"), vocabulary)
    assert Graph.from_json(latency.measurement.graph) == trace(network, (3, 32, 32))


def test_how_a_network_is_trained_does_not_change_the_key(job: LabelJob, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = replace(job, request=replace(job.request, recipe=job.request.recipe.model_copy(update={"steps": 900})))
    keys = {made.job.request.key for one in (job, longer) if (made := measure_job(one, SETTINGS)) is not None}
    assert len(keys) == 1


def test_a_latency_that_fails_loses_no_label(job: LabelJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LatencyError("cannot run")

    monkeypatch.setattr(measurement, "measure_latency", fail)
    spool = FolderSpool(tmp_path)
    assert run_attempt(LatencyFollowUp(scripted, SETTINGS, spool), job, spool).outcome is Outcome.OK
    failed = next(one for one in spool.read() if one.job.request.task == "latency")
    assert (failed.outcome, failed.message, failed.final) == (Outcome.ERROR, "LatencyError: cannot run", True)


def test_without_the_data_there_is_no_report(job: LabelJob) -> None:
    missing = replace(job, request=replace(job.request, data="masks:/nowhere"))
    assert measure_job(missing, SETTINGS) is None


def test_two_workers_of_a_machine_do_not_measure_at_once(
    job: LabelJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = list[float]()

    def measure(job: LabelJob, settings: LatencySettings) -> AttemptReport:
        measured.append(time.monotonic())
        return report()

    monkeypatch.setenv("AIOP_CACHE", str(tmp_path))
    monkeypatch.setattr(latency_follow_up, "measure_job", measure)
    monkeypatch.setattr(latency_follow_up, "_WAIT_S", 0.01)
    other = FileLock(tmp_path / "latency.lock", thread_local=False)
    other.acquire()
    released = list[float]()
    timer = threading.Timer(0.1, lambda: (released.append(time.monotonic()), other.release()))
    timer.start()
    LatencyFollowUp(scripted, SETTINGS, FolderSpool(tmp_path / "spool"))(job)
    timer.join()
    assert measured[0] >= released[0]
