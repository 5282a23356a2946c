"""Attempts that take far longer than usual labels are ended."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.failure import FailurePolicy
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.campaign.simulated import Behaviour, SimulatedClock, SimulatedExecutor
from orchestrator.campaign.time_limit import TimeLimits
from tests.support.fake_evaluator import RECIPE, request
from workers.messages.label import AttemptReport, LabelJob, Outcome

LONG_LIMIT = RECIPE.model_copy(update={"time_limit_s": 1800.0})


def job(number: int = 0, attempt: int = 1, fidelity: str = "full") -> LabelJob:
    return LabelJob(replace(request(number, recipe=LONG_LIMIT), fidelity=fidelity), "c", attempt)


def test_limits_are_five_times_the_usual_duration_and_double_with_every_attempt() -> None:
    limits = TimeLimits()
    for seconds in (10.0, 500.0, *[20.0] * 5):
        limits.add(job(), seconds)
    assert limits.limit_s(job()) == 1800.0  # too few yet
    for _ in range(3):
        limits.add(job(), 20.0)
    assert limits.limit_s(job()) == 100.0
    assert limits.limit_s(job(attempt=2)) == 200.0
    assert limits.limit_s(job(attempt=9)) == 1800.0
    assert limits.limit_s(job(fidelity="shared")) == 1800.0  # a fidelity has its own durations
    for _ in range(200):
        limits.add(job(), 1.0)
    assert limits.limit_s(job()) == 60.0


def test_a_disconnected_worker_costs_minutes_not_the_recipes_limit() -> None:
    """The node is disconnected, so the call neither ends nor fails."""
    disconnected = job(15).request.key

    def script(wanted: LabelJob) -> Behaviour:
        hangs = wanted.request.key == disconnected and wanted.attempt == 1
        return Behaviour(seconds=1e9 if hangs else 20.0)

    clock, records = SimulatedClock(0.0), list[AttemptReport]()
    requests = [job(n).request for n in range(24)]
    controller = CampaignController(requests, "c", FixedWorkers(2), FailurePolicy())
    end = run_campaign(controller, SimulatedExecutor(script, clock), record=records.append, clock=clock)
    assert (end.done, end.failed) == (24, 0)
    (lost,) = records
    assert lost.outcome is Outcome.TIMEOUT
    assert "usual time limit of 100 s" in lost.message
    assert clock() < 500
