"""Campaigns on Ray actors that crash, hang and are killed."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import psutil
import pytest

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import CapacityChanged, WorkerReady
from orchestrator.campaign.failure import FailurePolicy
from orchestrator.campaign.kept_actors import KeptActors
from orchestrator.campaign.progress import CampaignProgress, utilisation
from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.ray_runtime.resources import node_resources
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from tests.support.fake_evaluator import RECIPE, request
from workers.execution.node_check import NodeNeeds
from workers.messages.label import AttemptReport, Outcome
from workers.storage.folder_spool import FolderSpool

pytestmark = pytest.mark.usefixtures("ray_session")


def executor(
    spool: FolderSpool, evaluator: str = "tests.support.fake_evaluator:build", cpus: float = 0.5
) -> RayExecutor:
    return RayExecutor(ActorSpec("faking", "fake", evaluator, str(spool.directory), resources={"CPU": cpus}))


def last_reports(spool: FolderSpool) -> dict[str, AttemptReport]:
    reports = sorted(spool.read(), key=lambda report: report.job.attempt)
    return {report.job.request.key: report for report in reports}


def test_every_request_ends_with_the_right_outcome(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    short_limit = RECIPE.model_copy(update={"time_limit_s": 1.5})
    expected = [
        (request(0, "hang", recipe=short_limit), Outcome.TIMEOUT),
        (request(1, "crash"), Outcome.CRASH),
        (request(2, "nan"), Outcome.DIVERGED),
        (request(3, "raise"), Outcome.ERROR),
        (request(4, "oom"), Outcome.OUT_OF_MEMORY),
        (request(5, "oom_unless_split"), Outcome.OK),
        (request(6, "bad_data"), Outcome.BAD_DATA),
        *((request(n, seconds=0.05), Outcome.OK) for n in range(10, 30)),
    ]
    controller = CampaignController(
        [wanted for wanted, _ in expected], "c", FixedWorkers(4), FailurePolicy(infrastructure_cap=2)
    )
    end = run_campaign(controller, executor(spool), record=spool.put)
    assert (end.done, end.failed, end.todo) == (21, 6, 0)
    assert {key: report.outcome for key, report in last_reports(spool).items()} == {
        wanted.key: outcome for wanted, outcome in expected
    }


def test_a_broken_factory_stops_the_campaign(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    controller = CampaignController([request(0)], "c", FixedWorkers(1))
    end = run_campaign(controller, executor(spool, "tests.support.fake_evaluator:broken"), record=spool.put)
    assert "no such thing" in (end.problem or "")
    assert end.todo == 1


def test_other_code_on_the_only_node_stops_the_campaign(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    needs = NodeNeeds(code="old")
    runner = RayExecutor(
        ActorSpec(
            "faking", "fake", "tests.support.fake_evaluator:build", spool.location, resources={"CPU": 0.5}, needs=needs
        )
    )
    end = run_campaign(CampaignController([request(0)], "c", FixedWorkers(1)), runner, record=spool.put)
    assert "died before they were ready: node " in (end.problem or "")
    assert "runs other code than the driver" in (end.problem or "")


def test_workers_are_not_started_on_rejected_nodes(tmp_path: Path) -> None:
    runner = executor(FolderSpool(tmp_path))
    (capacity,) = runner.poll(0)
    assert isinstance(capacity, CapacityChanged)
    assert capacity.workers == 8
    (here,) = node_resources()
    runner._rejected_nodes = {here}
    runner.spawn(0)
    assert runner.poll(2.0) == []
    runner._rejected_nodes = {"f" * len(here)}
    runner.spawn(1)
    (ready,) = runner.poll(60.0)
    assert isinstance(ready, WorkerReady)
    assert ready.worker == 1
    runner.close()


def test_twenty_random_kills_lose_no_label(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    requests = [request(n, seconds=0.2) for n in range(150)]
    runner = executor(spool)
    finished, kills, choose = threading.Event(), [], random.Random(7)

    def kill_twenty() -> None:
        while len(kills) < 20 and not finished.wait(choose.uniform(0.05, 0.6)):
            locations = list(runner.locations.values())
            if locations:
                with suppress(ProcessLookupError):  # already killed, but Ray has not noticed yet
                    pid = choose.choice(locations).pid
                    os.kill(pid, signal.SIGKILL)
                    kills.append(pid)

    killer = threading.Thread(target=kill_twenty)
    killer.start()
    controller = CampaignController(requests, "c", FixedWorkers(4), FailurePolicy(infrastructure_cap=1000))
    end = run_campaign(controller, runner, record=spool.put)
    finished.set()
    killer.join()
    assert len(kills) == 20
    assert (end.done, end.failed) == (150, 0)
    successes = {report.job.request.key for report in spool.read() if report.outcome is Outcome.OK}
    assert successes == {wanted.key for wanted in requests}


@pytest.mark.slow
def test_two_thousand_labels(tmp_path: Path) -> None:
    """Eight actors stay busy; the driver's memory and the latency of commits do not grow with the number of labels."""
    spool = FolderSpool(tmp_path / "_spool")
    committer = CommitterProcess(str(tmp_path), spool.location)
    requests = [request(n, seconds=0.25) for n in range(2000)]
    controller = CampaignController(requests, "c", FixedWorkers(8))
    driver, latencies, memory = psutil.Process(), list[float](), list[tuple[int, int]]()

    def observe(progress: CampaignProgress) -> None:
        memory.append((progress.done, driver.memory_info().rss))

    def commit() -> None:
        latencies.extend(committer.drain().seconds)

    start = time.time()
    runner = executor(spool, cpus=0.25)
    end = run_campaign(controller, runner, record=spool.put, commit=commit, observer=observe, commit_every_s=0.5)
    share, wall = utilisation(controller.times, time.time()), time.time() - start
    tenth = len(latencies) // 10
    first, last = median(latencies[:tenth]), median(latencies[-tenth:])
    early = max(rss for done, rss in memory if done <= 200)
    late = max(rss for done, rss in memory if done >= 1800)
    print(f"\n{wall:.1f} s, {share:.4f} of it on labels, {len(latencies)} commits of {first:.4f} s, then {last:.4f} s")
    print(f"driver {early / 2**20:.1f} MiB at 200 labels, {late / 2**20:.1f} MiB at 2,000")
    committer.close()
    assert end.done == len(DeltaLabelStore(str(tmp_path)).keys()) == 2000
    assert share >= 0.95
    assert last <= 2 * first
    assert late - early < 8 * 2**20


def _run(executor: RayExecutor, numbers: range) -> set[int]:
    """Run a campaign on two workers; return their processes."""
    processes = set[int]()
    controller = CampaignController([request(n, seconds=0.3) for n in numbers], "c", FixedWorkers(2))

    def observe(_: CampaignProgress) -> None:
        processes.update(location.pid for location in executor.locations.values())

    end = run_campaign(controller, executor, record=lambda _: None, observer=observe, poll_s=0.05)
    assert (end.done, end.todo) == (len(numbers), 0)
    return processes


def _is_gone(process: int) -> bool:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not psutil.pid_exists(process)


def test_actors_stay_for_the_next_campaign_with_the_same_settings(tmp_path: Path) -> None:
    kept, spool = KeptActors(), FolderSpool(tmp_path)
    spec = ActorSpec("faking", "fake", "tests.support.fake_evaluator:build", str(spool.directory), {"CPU": 0.5})
    first = _run(RayExecutor(spec, kept=kept), range(4))
    assert len(first) == 2
    assert _run(RayExecutor(spec, kept=kept), range(4, 8)) == first
    os.kill(min(first), signal.SIGKILL)  # while no campaign runs
    assert _is_gone(min(first))
    third = _run(RayExecutor(spec, kept=kept), range(8, 12))
    assert first & third == {max(first)}
    other = dataclasses.replace(spec, space="another")
    fourth = _run(RayExecutor(other, kept=kept), range(12, 14))
    assert not third & fourth
    assert all(_is_gone(process) for process in third)
    kept.close()
    assert all(_is_gone(process) for process in fourth)
