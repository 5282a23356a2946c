"""Workers that Ray stops because the machine runs low on memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
import ray

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.failure import FailurePolicy
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from tests.support.fake_evaluator import request
from tests.support.ray_clusters import cluster_without_cores
from workers.messages.label import LabelRequest, Outcome
from workers.storage.folder_spool import FolderSpool

LEFT = 2 * 2**30  # bytes that may be used beyond what is used at the start


@pytest.fixture
def short_of_memory() -> Iterator[str]:
    """Start a Ray that soon stops workers, and give its address."""
    memory = psutil.virtual_memory()
    if memory.available < 3 * LEFT:
        pytest.skip(f"needs {3 * LEFT / 2**30:.0f} GiB of free memory")
    threshold = (memory.total - memory.available + LEFT) / memory.total
    limits = {"memory_usage_threshold": threshold, "memory_monitor_refresh_ms": 100}
    with cluster_without_cores(nodes=1, num_cpus=4, settings=limits) as cluster:
        yield cluster.address


def campaign(address: str, spool: FolderSpool, requests: Sequence[LabelRequest]) -> CampaignProgress:
    """Run a campaign, in a separate process, because a process has one Ray."""
    ray.init(address=address, log_to_driver=False)
    controller = CampaignController(requests, "c", FixedWorkers(4), FailurePolicy(infrastructure_cap=3))
    spec = ActorSpec("faking", "fake", "tests.support.fake_evaluator:build", spool.location, resources={"CPU": 1})
    return run_campaign(controller, RayExecutor(spec), record=spool.put)


@pytest.mark.slow
def test_a_campaign_ends_although_memory_runs_low(short_of_memory: str, tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    always, once = request(0, "swell"), request(1, "swell_once")
    others = [request(n, seconds=0.3) for n in range(2, 60)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        end = pool.submit(campaign, short_of_memory, spool, [always, once, *others]).result()
    reports = list(spool.read())
    stopped = [report for report in reports if report.outcome is Outcome.HOST_OUT_OF_MEMORY]
    kinds = {outcome.value: sum(report.outcome is outcome for report in reports) for outcome in Outcome}
    print(f"\n{kinds}, {sorted(report.job.request.architecture.values['n'] for report in stopped)}")
    assert {report.job.request.key for report in stopped} >= {always.key, once.key}
    succeeded = {report.job.request.key for report in reports if report.outcome is Outcome.OK}
    assert succeeded == {wanted.key for wanted in (once, *others)}
    assert (end.done, end.failed) == (59, 1)
    assert "ran low on memory, so Ray stopped this worker: start fewer with --workers" in stopped[0].message
