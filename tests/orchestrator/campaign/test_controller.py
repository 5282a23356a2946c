"""The state machine in simulated time."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest

from orchestrator.campaign.actions import Dispatch, Finish, Kill, SaveReport, Spawn
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import AttemptEnded, Drain, Event, LabelsStored, Stop, Tick, WorkerLost, WorkerReady
from orchestrator.campaign.failure import FailureHistory, FailurePolicy, GiveUp, Requeue, Retry
from orchestrator.campaign.progress import CampaignProgress, CampaignState
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.campaign.simulated import Behaviour, Script, SimulatedClock, SimulatedExecutor
from tests.support.fake_evaluator import RECIPE, request
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome

O = Outcome  # noqa: E741


class Rig:
    """A campaign on a simulated cluster, and what it recorded."""

    def __init__(self, requests: list[LabelRequest], script: Script, workers: int = 4, cap: int = 3, **options: object):
        self.clock = SimulatedClock(1000.0)
        self.executor = SimulatedExecutor(script, self.clock, **options)  # type: ignore[arg-type]
        policy = FailurePolicy(infrastructure_cap=cap)
        self.controller = CampaignController(requests, "c1", FixedWorkers(workers), policy)
        self.records: list[AttemptReport] = []
        self.commits = 0

    def run(self) -> CampaignProgress:
        def commit() -> None:
            self.commits += 1

        return run_campaign(
            self.controller, self.executor, record=self.records.append, commit=commit, clock=self.clock, poll_s=0.5
        )


def always(**behaviour: object) -> Script:
    return lambda job: Behaviour(**behaviour)  # type: ignore[arg-type]


def report(job: LabelJob, outcome: Outcome = O.OK, seconds: float = 1.0) -> AttemptReport:
    good = Measurement(0.5, "m", {}, 1, 1, {}) if outcome is O.OK else None
    return AttemptReport(job, outcome, "why", "n", 0.0, seconds, good)


def test_all_succeed_and_there_are_no_more_workers_than_jobs() -> None:
    rig = Rig([request(n) for n in range(3)], always(), workers=8)
    end = rig.run()
    assert (end.state, end.todo, end.in_flight, end.done, end.failed) == (CampaignState.FINISHED, 0, 0, 3, 0)
    assert len(rig.controller.times) == 3
    assert end.utilisation == pytest.approx(1.0)
    assert not rig.records
    assert rig.commits >= 1


def test_equal_requests_run_once() -> None:
    assert Rig([request(1), request(1)], always()).run().done == 1


def test_nothing_to_do_finishes_at_once() -> None:
    assert CampaignController([], "c", FixedWorkers(2)).handle(Tick(1.0)) == [Finish()]


@pytest.mark.parametrize(
    ("outcome", "split", "failures", "decision"),
    [
        (O.OUT_OF_MEMORY, 1, 0, Retry(2)),
        (O.OUT_OF_MEMORY, 4, 0, Retry(8)),
        (O.OUT_OF_MEMORY, 8, 0, GiveUp("out of memory with the batch in 8 parts: why", True)),
        (O.HOST_OUT_OF_MEMORY, 1, 1, Requeue()),
        (O.HOST_OUT_OF_MEMORY, 1, 3, GiveUp("3 infrastructure failures, last: why", False)),
        (O.CRASH, 1, 1, Requeue()),
        (O.LOST_NODE, 1, 2, Requeue()),
        (O.TIMEOUT, 1, 3, GiveUp("3 infrastructure failures, last: why", False)),
        (O.BAD_DATA, 1, 0, GiveUp("why", True)),
        (O.DIVERGED, 1, 0, GiveUp("why", True)),
        (O.ERROR, 1, 0, GiveUp("why", True)),
        (O.STOPPED, 1, 0, Requeue()),
    ],
)
def test_failure_policy(outcome: Outcome, split: int, failures: int, decision: object) -> None:
    failed = report(LabelJob(request(0), "c", 1, split), outcome)
    assert FailurePolicy().decide(failed, FailureHistory(failures)) == decision


@pytest.mark.parametrize("outcome", [O.BAD_DATA, O.DIVERGED, O.ERROR])
def test_final_failures_run_once_and_the_worker_reports_them(outcome: Outcome) -> None:
    rig = Rig([request(0)], always(outcome=outcome))
    assert rig.run().failed == 1
    assert len(rig.executor.dispatched) == 1
    assert not rig.records


def test_out_of_memory_is_retried_with_a_split_batch_then_final() -> None:
    rig = Rig([request(0)], always(outcome=O.OUT_OF_MEMORY))
    assert rig.run().failed == 1
    assert [(job.attempt, job.split) for job in rig.executor.dispatched] == [(1, 1), (2, 2), (3, 4), (4, 8)]
    assert [(r.job.attempt, r.final) for r in rig.records] == [(1, False), (2, False), (3, False), (4, True)]


def test_a_split_batch_can_fix_out_of_memory() -> None:
    rig = Rig([request(0)], lambda job: Behaviour(outcome=O.OUT_OF_MEMORY if job.split == 1 else O.OK))
    assert rig.run().done == 1


@pytest.mark.parametrize("cap", [1, 3, 5])
def test_a_job_that_kills_workers_is_capped_and_does_not_delay_the_others(cap: int) -> None:
    killer = request(0)
    rig = Rig(
        [killer, *(request(n) for n in range(1, 50))],
        lambda job: Behaviour(outcome=O.CRASH if job.request == killer else O.OK),
        cap=cap,
    )
    end = rig.run()
    assert (end.done, end.failed) == (49, 1)
    assert [(r.outcome, r.final) for r in rig.records] == [(O.CRASH, False)] * cap


def test_the_cap_counts_per_architecture_over_seeds() -> None:
    rig = Rig([request(0, seed=s) for s in range(4)], always(outcome=O.CRASH), workers=1)
    assert rig.run().failed == 4
    assert len(rig.records) < 4 * 3


def test_the_next_network_starts_with_the_parts_that_fit_on_such_a_card() -> None:
    controller = CampaignController([request(n) for n in range(5)], "c", FixedWorkers(2))
    drive(controller, Tick(0), WorkerReady(0, 0, "n", "small"), WorkerReady(1, 0, "n", "large"))
    (_, unaffected) = drive(controller, AttemptEnded(0, report(LabelJob(request(0), "c"), O.OUT_OF_MEMORY), 1))
    assert isinstance(unaffected, Dispatch)
    assert (unaffected.job.request, unaffected.job.split) == (request(2), 1)  # nobody knows yet what fits
    (_,) = drive(controller, AttemptEnded(0, report(LabelJob(request(2), "c", 2, 4)), 2))
    (other,) = drive(controller, AttemptEnded(1, report(LabelJob(request(1), "c")), 3))
    assert isinstance(other, Dispatch)
    assert (other.job.request, other.job.split) == (request(4), 1)
    (known,) = drive(controller, AttemptEnded(0, report(LabelJob(request(3), "c")), 4))
    assert isinstance(known, Dispatch)
    assert (known.job.request, known.job.split) == (request(0), 4)


def test_silence_ends_an_attempt_and_signs_of_life_do_not() -> None:
    recipe = RECIPE.model_copy(update={"time_limit_s": 1e6, "silence_s": 100.0})
    beats = tuple((60.0 * n, n, 0) for n in range(1, 21))

    def script(job: LabelJob) -> Behaviour:
        return Behaviour(seconds=1230.0, beats=beats if job.attempt == 2 else beats[:3], hang=job.attempt == 1)

    rig = Rig([request(0, recipe=recipe)], script, workers=1)
    assert rig.run().done == 1
    (silent,) = rig.records
    assert silent.outcome is O.TIMEOUT
    assert silent.seconds == pytest.approx(280, abs=2)
    assert "no sign of life for 100 s" in silent.message


def test_a_disconnected_worker_costs_minutes_not_the_recipes_limit() -> None:
    """The node is disconnected, so the call neither ends nor fails."""
    recipe = RECIPE.model_copy(update={"time_limit_s": 1e6})
    lost = request(15, recipe=recipe)
    rig = Rig(
        [request(n, recipe=recipe) for n in range(24)],
        lambda job: Behaviour(seconds=20.0, hang=job.request == lost and job.attempt == 1),
        workers=2,
    )
    assert rig.run().done == 24
    assert rig.clock() - 1000 < 1000


@pytest.mark.parametrize("outcome", [O.CRASH, O.LOST_NODE])
def test_preemptions_after_progress_do_not_count(outcome: Outcome) -> None:
    """Every attempt but the last is preempted after it saved a later checkpoint than the one before."""

    def progresses(job: LabelJob) -> Behaviour:
        lost = job.attempt < 12
        return Behaviour(30.0, outcome if lost else O.OK, beats=((20.0, 9 * job.attempt, 8 * job.attempt),))

    def repeats(job: LabelJob) -> Behaviour:
        return Behaviour(30.0, outcome, beats=((20.0, 9, 8 if job.attempt > 1 else 0),))

    rig = Rig([request(0)], progresses, workers=1)
    assert rig.run().done == 1
    assert len(rig.executor.dispatched) == 12
    stuck = Rig([request(0)], repeats, workers=1)
    assert stuck.run().failed == 1
    assert len(stuck.executor.dispatched) == 4  # one of them had progress


def test_a_hang_is_killed_requeued_and_its_worker_replaced() -> None:
    def script(job: LabelJob) -> Behaviour:
        return Behaviour(hang=job.attempt == 1)

    rig = Rig([request(0)], script, workers=1)
    end = rig.run()
    assert end.done == 1
    (timeout,) = rig.records
    assert timeout.outcome is O.TIMEOUT
    assert RECIPE.time_limit_s <= timeout.seconds <= RECIPE.time_limit_s + 1
    assert list(rig.controller.times) == [0, 1]  # ids are not reused


def test_a_late_success_counts_and_its_key_is_not_run_again() -> None:
    # The other job occupies the only slot, so the first is queued again when its late report arrives.
    other = request(1)

    def script(job: LabelJob) -> Behaviour:
        return Behaviour(seconds=10) if job.request == other else Behaviour(hang=True, late=5.0)

    rig = Rig([request(0), other], script, workers=1)
    end = rig.run()
    assert (end.done, end.failed, end.todo) == (2, 0, 0)
    assert [job.request for job in rig.executor.dispatched] == [request(0), other]
    assert [r.outcome for r in rig.records] == [O.TIMEOUT, O.OK]


def drive(controller: CampaignController, *events: Event) -> list[object]:
    return [action for event in events for action in controller.handle(event)]


def test_a_late_success_ends_the_second_attempt_in_flight() -> None:
    controller = CampaignController([request(0)], "c", FixedWorkers(1))
    job = LabelJob(request(0), "c")
    drive(controller, Tick(0), WorkerReady(0, 0), Tick(60), WorkerReady(1, 61))
    assert controller.progress.in_flight == 1
    actions = drive(controller, AttemptEnded(0, report(job), 62))
    assert [type(a) for a in actions] == [SaveReport, Kill, SaveReport, Finish]
    assert (controller.progress.done, controller.progress.failed) == (1, 0)


def test_a_late_success_cancels_giving_up_and_counts_once() -> None:
    controller = CampaignController([request(0), request(1)], "c", FixedWorkers(1), FailurePolicy(infrastructure_cap=1))
    job = LabelJob(request(0), "c")
    drive(controller, Tick(0), WorkerReady(0, 0), Tick(60))
    assert controller.progress.failed == 1
    drive(controller, AttemptEnded(0, report(job), 61), AttemptEnded(0, report(job), 61))
    assert (controller.progress.done, controller.progress.failed) == (1, 0)


def test_late_failures_of_killed_workers_are_ignored() -> None:
    controller = CampaignController([request(0)], "c", FixedWorkers(1))
    drive(controller, Tick(0), WorkerReady(0, 0), Tick(60))
    before = controller.progress
    late = AttemptEnded(0, report(LabelJob(request(0), "c"), O.ERROR), 60)
    assert drive(controller, late, WorkerLost(0, O.CRASH, "", "", 60), WorkerReady(0, 60)) == []
    assert controller.progress == before


def test_drain_waits_for_running_jobs_and_starts_none() -> None:
    controller = CampaignController([request(n) for n in range(5)], "c", FixedWorkers(2))
    assert drive(controller, Tick(0)) == [Spawn(0), Spawn(1)]
    (dispatch,) = drive(controller, WorkerReady(0, 1))
    assert isinstance(dispatch, Dispatch)
    assert drive(controller, Drain()) == [Kill(1)]
    assert controller.state is CampaignState.DRAINING
    assert drive(controller, AttemptEnded(0, report(dispatch.job), 2)) == [Kill(0), Finish()]
    assert (controller.progress.done, controller.progress.todo) == (1, 4)


def test_a_job_lost_while_draining_is_not_run_again() -> None:
    controller = CampaignController([request(0)], "c", FixedWorkers(1))
    drive(controller, Tick(0), WorkerReady(0, 0), Drain())
    actions = drive(controller, WorkerLost(0, O.CRASH, "x", "n", 1))
    assert [type(a) for a in actions] == [SaveReport, Finish]
    assert controller.progress.todo == 1


def test_stop_kills_records_and_finishes_at_the_next_tick() -> None:
    controller = CampaignController([request(n) for n in range(5)], "c", FixedWorkers(2))
    (dispatch,) = drive(controller, Tick(0), WorkerReady(0, 1))[2:]
    assert isinstance(dispatch, Dispatch)
    kill, record, kill_starting = drive(controller, Stop())
    assert (kill, kill_starting) == (Kill(0), Kill(1))
    assert isinstance(record, SaveReport)
    assert (record.report.outcome, record.report.final) == (O.STOPPED, False)
    assert controller.state is CampaignState.STOPPING
    drive(controller, AttemptEnded(0, report(dispatch.job), 2))  # it was available before the kill
    assert drive(controller, Tick(3)) == [Finish()]
    assert (controller.progress.done, controller.progress.todo) == (1, 4)
    assert drive(controller, Tick(4), Drain(), Stop()) == []


def test_workers_that_cannot_start_stop_the_campaign() -> None:
    controller = CampaignController([request(0)], "c", FixedWorkers(2))
    drive(controller, Tick(0), *(WorkerLost(n, O.CRASH, "no module", "", n) for n in range(3)), Tick(9))
    assert controller.state is CampaignState.FINISHED
    assert "no module" in (controller.progress.problem or "")


def test_losing_a_node_with_5000_jobs_takes_under_a_second() -> None:
    requests = [request(n) for n in range(5000)]
    rig = Rig(requests, always(seconds=1.0), workers=64, nodes=("a", "b", "c", "d"))
    rig.executor.lose_node(1020.5, "b")
    start = time.perf_counter()
    end = rig.run()
    assert time.perf_counter() - start < 1.0
    assert (end.done, end.failed) == (5000, 0)
    assert [r.outcome for r in rig.records] == [O.LOST_NODE] * 16
    assert {r.node for r in rig.records} == {"b"}


def test_many_failures_of_every_kind_lose_no_request() -> None:
    kinds = [O.OK, O.OK, O.CRASH, O.OUT_OF_MEMORY, O.DIVERGED, O.ERROR, O.BAD_DATA, O.LOST_NODE]
    requests = [request(n) for n in range(800)]
    rig = Rig(requests, lambda job: Behaviour(0.3, kinds[int(job.request.key[:4], 16) % 8]), workers=16)
    end = rig.run()
    assert end.done + end.failed == 800
    attempts: dict[str, list[int]] = defaultdict(list)
    for job in rig.executor.dispatched:
        attempts[job.request.key].append(job.attempt)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in attempts.values())


def _running(count: int, workers: int = 1) -> tuple[CampaignController, list[LabelRequest]]:
    """A campaign whose workers run the first jobs."""
    requests = [request(n) for n in range(count)]
    controller = CampaignController(requests, "c", FixedWorkers(workers), FailurePolicy(infrastructure_cap=1))
    controller.handle(Tick(0.0))
    for worker in range(workers):
        controller.handle(WorkerReady(worker, 1.0, "n"))
    return controller, requests


def test_labels_that_others_stored_are_not_made() -> None:
    controller, requests = _running(3)
    assert controller.handle(LabelsStored((requests[1].key, requests[2].key, "of another list"), 2.0)) == []
    assert (controller.progress.todo, controller.progress.done) == (0, 2)
    end = controller.handle(AttemptEnded(0, report(LabelJob(requests[0], "c")), 3.0))
    assert end[-1] == Finish()
    assert (controller.progress.done, controller.progress.failed) == (3, 0)


def _order(campaign: str, stored: tuple[str, ...]) -> list[str]:
    """The order in which one worker gets the labels, after some were found in the store."""
    controller = CampaignController([request(n) for n in range(20)], campaign, FixedWorkers(1))
    controller.handle(Tick(0.0))
    actions = controller.handle(WorkerReady(0, 1.0, "n"))
    controller.handle(LabelsStored(stored, 2.0))
    order: list[str] = []
    while dispatched := [action for action in actions if isinstance(action, Dispatch)]:
        order.append(dispatched[0].job.request.key)
        actions = controller.handle(AttemptEnded(0, report(dispatched[0].job), 3.0))
    return order


def test_two_campaigns_do_not_make_the_same_labels_at_the_same_time() -> None:
    keys = [request(n).key for n in range(20)]
    assert _order("a", ()) == keys
    first, second = _order("a", (keys[3],)), _order("b", (keys[3],))
    assert sorted(first) == sorted(second) == sorted({*keys} - {keys[3]})
    assert first[1:] != second[1:]
    assert first == _order("a", (keys[3],))


@pytest.mark.parametrize("outcome", [O.OK, O.ERROR, O.CRASH])
def test_a_label_that_is_stored_while_it_runs_counts_once(outcome: Outcome) -> None:
    controller, (wanted,) = _running(1)
    controller.handle(LabelsStored((wanted.key,), 2.0))
    ended = report(LabelJob(wanted, "c"), outcome)
    actions = controller.handle(
        WorkerLost(0, outcome, "died", "n", 3.0) if outcome is O.CRASH else AttemptEnded(0, ended, 3.0)
    )
    assert (controller.progress.done, controller.progress.failed, controller.progress.todo) == (1, 0, 0)
    assert actions[-1] == Finish()


def test_a_success_that_is_found_in_the_store_after_its_worker_died_counts() -> None:
    controller, requests = _running(2, workers=2)
    controller.handle(WorkerLost(0, O.CRASH, "died", "n", 2.0))  # given up, because the cap is one
    assert controller.progress.failed == 1
    controller.handle(LabelsStored((requests[0].key,), 3.0))
    assert (controller.progress.done, controller.progress.failed) == (1, 0)
    controller.handle(AttemptEnded(0, report(LabelJob(requests[0], "c")), 4.0))  # and the late report changes nothing
    assert (controller.progress.done, controller.progress.failed) == (1, 0)
