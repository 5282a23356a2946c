"""Refreshes in the background of a campaign: one at a time, with reserved cores, and errors that do not end it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.campaign.actions import Dispatch, Kill, Spawn
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import AttemptEnded, CapacityChanged, Tick, WorkerReady
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, Grow, Hold, Pool, ReservingPolicy, Shrink
from orchestrator.predictors.refresh import background
from orchestrator.predictors.refresh.background import BackgroundRefresher, Command, describe_refresh, refresh_command
from orchestrator.ray_runtime.resources import actors_in_the_way
from tests.support.fake_evaluator import request
from workers.messages.label import AttemptReport, LabelJob, Measurement, Outcome

Program = Callable[[str], None]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """A function that sets the Python program of a refresh's process."""
    return lambda text: monkeypatch.setattr(background, "_PROGRAM", text)


def wait(refresher: BackgroundRefresher, results: list[dict[str, Any]], count: int) -> None:
    deadline = time.monotonic() + 20
    while len(results) < count and time.monotonic() < deadline:
        refresher.tick()
        time.sleep(0.02)
    assert len(results) == count


def test_one_refresh_at_a_time_after_enough_labels(program: Program) -> None:
    document = {"decision": "promote", "reason": "better", "generation": 2}
    program(f"import sys, os; print('x'); print({json.dumps(document)!r}); assert os.environ['A'] == 'b'")
    results = list[dict[str, Any]]()
    refresher = BackgroundRefresher(5, Command(["refresh"], {"A": "b"}), lambda: 1, results.append)
    refresher.committed(4)
    refresher.tick()
    assert refresher.reserved == 0
    refresher.committed(1)
    refresher.tick()
    assert refresher.reserved == 1
    first = refresher._process
    refresher.committed(7)
    refresher.tick()
    assert refresher._process is first
    wait(refresher, results, 1)
    refresher.close()  # the last labels
    assert results == [document, document]
    assert refresher.reserved == 0
    assert describe_refresh(document) == "refresh: promote: better, generation 2 is used"


@pytest.mark.parametrize(("every", "labels", "refreshes"), [(5, 7, 2), (5, 5, 1), (0, 3, 1), (5, 0, 0), (0, 0, 0)])
def test_the_predictor_learns_the_last_labels(program: Program, every: int, labels: int, refreshes: int) -> None:
    program('print(\'{"decision": "promote", "reason": "better"}\')')
    results = list[dict[str, Any]]()
    refresher = BackgroundRefresher(every, Command([], {}), lambda: 1, results.append)
    refresher.committed(min(labels, 5))
    refresher.tick()
    assert (refresher.reserved == 1) == (0 < every <= labels)
    refresher.committed(max(0, labels - 5))
    refresher.close()
    assert len(results) == refreshes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import sys; print('news', file=sys.stderr); sys.exit('error: the store is gone')", "the store is gone"),
        ("import os; os._exit(7)", "exit code 7, without a message"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9, without a message"),
        ("print('[]')", "exit code 0, without a message"),
    ],
)
def test_a_failed_refresh_is_reported(program: Program, text: str, reason: str) -> None:
    program(text)
    results = list[dict[str, Any]]()
    refresher = BackgroundRefresher(1, Command([], {}), lambda: 1, results.append)
    refresher.committed(1)
    wait(refresher, results, 1)
    assert results == [{"decision": "failed", "reason": reason}]
    assert describe_refresh(results[0]) == f"refresh: failed: {reason}"
    refresher.close()


def test_a_refresh_that_hangs_or_cannot_start_is_reported(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("import time; time.sleep(60)")
    results = list[dict[str, Any]]()
    refresher = BackgroundRefresher(1, Command([], {}), lambda: 1, results.append)
    refresher.committed(1)
    refresher.tick()
    monkeypatch.setattr(background, "_TIME_LIMIT_S", 0.0)
    time.sleep(0.01)
    refresher.tick()
    assert results == [{"decision": "failed", "reason": "did not end within 0 s"}]
    monkeypatch.setattr(background.sys, "executable", "/nowhere/python")
    refresher.committed(1)
    refresher.tick()
    assert results[1]["reason"] == "could not be started: No such file or directory"
    refresher.interrupted = True
    refresher.close()


def test_an_unfinished_campaign_kills_its_refresh(program: Program) -> None:
    program("import time; time.sleep(60)")
    results = list[dict[str, Any]]()
    refresher = BackgroundRefresher(1, Command([], {}), lambda: 1, results.append)
    refresher.committed(1)
    refresher.tick()
    process = refresher._process
    assert process is not None
    refresher.interrupted = True
    refresher.close()
    assert process.returncode == -9
    assert results == []


def test_the_command_waits_for_cores_of_the_campaigns_ray() -> None:
    command = refresh_command("labels", "predictors", "1.2.3.4:6379")
    assert command.arguments == ["refresh", "--store", "labels", "--predictors", "predictors", "--cpus", "1", "--json"]
    assert command.environment["RAY_ADDRESS"] == "1.2.3.4:6379"
    assert float(command.environment["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"]) > 600


@pytest.mark.parametrize(
    ("needs", "nodes", "in_the_way"),
    [
        ({"CPU": 1.0}, [{"CPU": 2.0}], 1),
        ({"CPU": 2.0}, [{"CPU": 2.0}], 1),
        ({"CPU": 0.5}, [{"CPU": 2.0}], 2),
        ({"CPU": 3.0}, [{"CPU": 8.0}], 0),
        ({"CPU": 1.0, "GPU": 1.0}, [{"CPU": 16.0, "GPU": 2.0}], 0),
        ({"CPU": 1.0}, [{"CPU": 4.0}, {"CPU": 4.5}], 1),
        ({"CPU": 4.0}, [{"CPU": 4.0}, {"CPU": 5.0}], 0),
        ({"CPU": 0.5}, [{"CPU": 0.5}], 1),
    ],
)
def test_how_many_workers_are_in_the_way(
    needs: dict[str, float], nodes: list[dict[str, float]], in_the_way: int
) -> None:
    assert actors_in_the_way(needs, 1.0, nodes) == in_the_way


@pytest.mark.parametrize(
    ("policy", "reserved", "pool", "choice"),
    [
        (FixedWorkers(2), 0, Pool(2, 50, 2), Hold()),
        (FixedWorkers(2), 1, Pool(2, 50, 2), Shrink(1)),
        (FixedWorkers(2), 1, Pool(1, 50, 2), Hold()),
        (FixedWorkers(2), 0, Pool(1, 50, 2), Grow(1)),
        (FixedWorkers(1), 1, Pool(1, 50, 2), Hold()),
        (FixedWorkers(1), 1, Pool(1, 50, 1), Shrink(1)),
        (FixedWorkers(2), 1, Pool(2, 50, None), Hold()),
        (ClusterWorkers(), 1, Pool(8, 50, 4), Shrink(5)),  # no waiting worker takes the free cores
        (ClusterWorkers(), 0, Pool(3, 50, 4), Grow(5)),
        (FixedWorkers(3), 9, Pool(3, 50, 4), Shrink(3)),
    ],
)
def test_workers_are_reserved_for_the_refresh(policy: Any, reserved: int, pool: Pool, choice: Any) -> None:
    assert ReservingPolicy(policy, lambda: reserved).decide(pool) == choice


def done(job: LabelJob) -> AttemptReport:
    return AttemptReport(job, Outcome.OK, "", "n", 0.0, 1.0, Measurement(0.5, "m", {}, 1, 1, {}))


def test_a_worker_stops_after_its_label_until_the_refresh_ends() -> None:
    reserved = 0
    controller = CampaignController(
        [request(n) for n in range(6)], "c", ReservingPolicy(FixedWorkers(2), lambda: reserved)
    )
    assert controller.handle(Tick(0)) == [Spawn(0), Spawn(1)]
    jobs = {}
    for event in (CapacityChanged(2, 0), WorkerReady(0, 1, "n"), WorkerReady(1, 1, "n")):
        jobs |= {action.worker: action.job for action in controller.handle(event) if isinstance(action, Dispatch)}
    reserved = 1
    assert controller.handle(Tick(2)) == []  # both are busy
    assert controller.handle(AttemptEnded(0, done(jobs[0]), 3)) == [Kill(0)]
    (action,) = controller.handle(AttemptEnded(1, done(jobs[1]), 4))
    assert isinstance(action, Dispatch)
    reserved = 0
    assert controller.handle(Tick(5)) == [Spawn(2)]
