"""A refresh beside a campaign: in time, never two, its room kept free, and its troubles its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.campaign.actions import Dispatch, Kill, Spawn
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import AttemptEnded, RoomChanged, Tick, WorkerReady
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, Grow, Hold, Pool, ReservingPolicy, Shrink
from orchestrator.predictors.refresh import background
from orchestrator.predictors.refresh.background import BackgroundRefresher, Command, describe_refresh, refresh_command
from orchestrator.ray_runtime.session import actors_in_the_way
from tests.support.fake_evaluator import request
from workers.messages.label import AttemptReport, LabelJob, Measurement, Outcome

Program = Callable[[str], None]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """Sets what a refresh's process does."""
    return lambda text: monkeypatch.setattr(background, "_PROGRAM", text)


def wait(refreshes: BackgroundRefresher, told: list[dict[str, Any]], count: int) -> None:
    deadline = time.monotonic() + 20
    while len(told) < count and time.monotonic() < deadline:
        refreshes.tick()
        time.sleep(0.02)
    assert len(told) == count


def test_one_at_a_time_every_so_many_labels(program: Program) -> None:
    document = {"decision": "promote", "reason": "better", "generation": 2}
    program(f"import sys, os; print('x'); print({json.dumps(document)!r}); assert os.environ['A'] == 'b'")
    told = list[dict[str, Any]]()
    refreshes = BackgroundRefresher(5, Command(["refresh"], {"A": "b"}), lambda: 1, told.append)
    refreshes.committed(4)
    refreshes.tick()
    assert refreshes.held == 0
    refreshes.committed(1)
    refreshes.tick()
    assert refreshes.held == 1
    first = refreshes._process
    refreshes.committed(7)
    refreshes.tick()
    assert refreshes._process is first
    wait(refreshes, told, 1)
    refreshes.close(complete=True)  # one more was due
    assert told == [document, document]
    assert refreshes.held == 0
    assert describe_refresh(document) == "refresh: promote: better, generation 2 is used"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import sys; print('news', file=sys.stderr); sys.exit('error: the store is gone')", "the store is gone"),
        ("import os; os._exit(7)", "it ended with 7"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with -9"),
        ("print('[]')", "it ended with 0"),
    ],
)
def test_what_goes_wrong_is_told(program: Program, text: str, reason: str) -> None:
    program(text)
    told = list[dict[str, Any]]()
    refreshes = BackgroundRefresher(1, Command([], {}), lambda: 1, told.append)
    refreshes.committed(1)
    wait(refreshes, told, 1)
    assert told == [{"decision": "failed", "reason": reason}]
    assert describe_refresh(told[0]) == f"refresh: failed: {reason}"
    refreshes.close(complete=True)


def test_one_that_cannot_start_or_hangs_is_told(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("import time; time.sleep(60)")
    told = list[dict[str, Any]]()
    refreshes = BackgroundRefresher(1, Command([], {}), lambda: 1, told.append)
    refreshes.committed(1)
    refreshes.tick()
    monkeypatch.setattr(background, "_LIMIT_S", 0.0)
    time.sleep(0.01)
    refreshes.tick()
    assert told == [{"decision": "failed", "reason": "no end within 0 s"}]
    monkeypatch.setattr(background.sys, "executable", "/nowhere/python")
    refreshes.committed(1)
    refreshes.tick()
    assert told[1]["reason"] == "could not be started: No such file or directory"
    refreshes.close(complete=False)


def test_an_unfinished_campaign_ends_its_refresh(program: Program) -> None:
    program("import time; time.sleep(60)")
    told = list[dict[str, Any]]()
    refreshes = BackgroundRefresher(1, Command([], {}), lambda: 1, told.append)
    refreshes.committed(1)
    refreshes.tick()
    process = refreshes._process
    assert process is not None
    refreshes.close(complete=False)
    assert process.returncode == -9
    assert told == []


def test_the_command_waits_for_room_on_the_campaigns_ray() -> None:
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
    ("policy", "held", "pool", "choice"),
    [
        (FixedWorkers(2), 0, Pool(2, 50, 2), Hold()),
        (FixedWorkers(2), 1, Pool(2, 50, 2), Shrink(1)),
        (FixedWorkers(2), 1, Pool(1, 50, 2), Hold()),
        (FixedWorkers(2), 0, Pool(1, 50, 2), Grow(1)),
        (FixedWorkers(1), 1, Pool(1, 50, 2), Hold()),
        (FixedWorkers(1), 1, Pool(1, 50, 1), Shrink(1)),
        (FixedWorkers(2), 1, Pool(2, 50, None), Hold()),
        (ClusterWorkers(), 1, Pool(8, 50, 4), Shrink(5)),  # none is left that waits for the room
        (ClusterWorkers(), 0, Pool(3, 50, 4), Grow(5)),
        (FixedWorkers(3), 9, Pool(3, 50, 4), Shrink(3)),
    ],
)
def test_workers_leave_room(policy: Any, held: int, pool: Pool, choice: Any) -> None:
    assert ReservingPolicy(policy, lambda: held).decide(pool) == choice


def done(job: LabelJob) -> AttemptReport:
    return AttemptReport(job, Outcome.OK, "", "n", 0.0, 1.0, Measurement(0.5, "m", {}, 1, 1, {}))


def test_a_worker_ends_its_label_and_then_goes_until_the_refresh_is_over() -> None:
    held = 0
    controller = CampaignController([request(n) for n in range(6)], "c", ReservingPolicy(FixedWorkers(2), lambda: held))
    assert controller.handle(Tick(0)) == [Spawn(0), Spawn(1)]
    jobs = {}
    for event in (RoomChanged(2, 0), WorkerReady(0, 1, "n"), WorkerReady(1, 1, "n")):
        jobs |= {action.worker: action.job for action in controller.handle(event) if isinstance(action, Dispatch)}
    held = 1
    assert controller.handle(Tick(2)) == []  # both are at work
    assert controller.handle(AttemptEnded(0, done(jobs[0]), 3)) == [Kill(0)]
    (more,) = controller.handle(AttemptEnded(1, done(jobs[1]), 4))
    assert isinstance(more, Dispatch)
    held = 0
    assert controller.handle(Tick(5)) == [Spawn(2)]
