"""The pool follows the cluster while a campaign runs, in simulated time."""

from __future__ import annotations

import pytest

from orchestrator.campaign.actions import Dispatch, Kill, Spawn
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import CapacityChanged, Tick, WorkerReady
from orchestrator.campaign.progress import CampaignProgress, WorkerTime
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, Grow, Hold, Pool, Resize, ScalingPolicy, Shrink
from orchestrator.campaign.simulated import Behaviour, SimulatedClock, SimulatedExecutor
from tests.support.fake_evaluator import request


@pytest.mark.parametrize(
    ("policy", "pool", "decision"),
    [
        (FixedWorkers(4), Pool(0, 9), Grow(4)),
        (FixedWorkers(4), Pool(4, 9, capacity=1), Hold()),
        (FixedWorkers(4), Pool(4, 3), Shrink(1)),
        (ClusterWorkers(), Pool(0, 9), Hold()),  # the capacity is not known yet
        (
            ClusterWorkers(),
            Pool(0, 9, capacity=0),
            Grow(1),
        ),  # a waiting worker lets an autoscaler start
        (ClusterWorkers(), Pool(0, 9, capacity=2), Grow(4)),
        (ClusterWorkers(), Pool(4, 9, capacity=2), Hold()),
        (ClusterWorkers(), Pool(4, 3, capacity=2), Shrink(1)),
        (ClusterWorkers(), Pool(8, 99, capacity=2), Shrink(4)),
    ],
)
def test_decisions(policy: ScalingPolicy, pool: Pool, decision: Resize) -> None:
    assert policy.decide(pool) == decision


def test_when_nodes_leave_waiting_workers_end_and_working_ones_stay() -> None:
    controller = CampaignController([request(n) for n in range(99)], "c", ClusterWorkers())
    assert controller.handle(Tick(0)) == []
    assert controller.handle(CapacityChanged(2, 0)) == [Spawn(n) for n in range(4)]
    for worker in (0, 1):
        (dispatch,) = controller.handle(WorkerReady(worker, 1))
        assert isinstance(dispatch, Dispatch)
    assert controller.handle(CapacityChanged(1, 2)) == [Kill(3), Kill(2)]
    assert controller.handle(CapacityChanged(0, 3)) == []
    assert controller.progress.in_flight == 2


def simulated(
    executor: SimulatedExecutor, clock: SimulatedClock, count: int
) -> tuple[CampaignProgress, dict[int, WorkerTime]]:
    controller = CampaignController([request(n) for n in range(count)], "c", ClusterWorkers())
    end = run_campaign(controller, executor, record=lambda report: None, clock=clock)
    return end, dict(controller.times)


def test_the_pool_grows_with_the_cluster() -> None:
    clock = SimulatedClock()
    executor = SimulatedExecutor(lambda job: Behaviour(10.0), clock, slots=2)
    executor.join_node(50.0, "b")
    end, times = simulated(executor, clock, 60)
    assert (end.done, end.failed) == (60, 0)
    assert sorted(time.ready for time in times.values()) == [1.0, 1.0, 51.0, 51.0]
    assert clock.now < 200  # two workers alone would take 300 s


def test_the_pool_shrinks_with_the_cluster_and_nothing_is_lost() -> None:
    clock = SimulatedClock()
    executor = SimulatedExecutor(lambda job: Behaviour(10.0), clock, nodes=("a", "b", "c"), slots=2)
    executor.lose_node(35.0, "b")
    executor.lose_node(36.0, "c")
    executor.join_node(95.0, "d")
    end, times = simulated(executor, clock, 60)
    assert (end.done, end.failed, end.todo) == (60, 0, 0)
    alive = {second: sum(t.ready <= second < (t.gone or 1e9) for t in times.values()) for second in (20, 60, 120)}
    assert alive == {20: 6, 60: 2, 120: 4}
