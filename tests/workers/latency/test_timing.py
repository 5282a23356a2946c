"""What a timing counts, on a clock that only the runs advance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from workers.latency.timing import RunPlan, RunTimes, Timing, fastest_median, spread, time_runs


class Runs:
    """Runs that take given milliseconds; the last one is repeated. The wall clock goes `wall_factor` times as fast."""

    def __init__(self, *milliseconds: float, wall_factor: float = 1.0) -> None:
        self._durations = self._of(milliseconds)
        self._now, self._factor, self.count = 0.0, wall_factor, 0

    @staticmethod
    def _of(milliseconds: tuple[float, ...]) -> Iterator[float]:
        yield from milliseconds
        while True:
            yield milliseconds[-1]

    def __call__(self) -> None:
        self.count += 1
        self._now += next(self._durations) / 1e3

    def time(self, plan: RunPlan) -> Timing:
        return Timing.of([time_runs(self, plan, lambda: self._now, lambda: self._now * self._factor)])


def test_equal_runs_have_no_spread() -> None:
    runs = Runs(8.0)
    timing = runs.time(RunPlan(warm_up=3, repeats=20, seconds=100))
    assert timing.median_ms == pytest.approx(8)
    assert timing.wall_ms == pytest.approx(8)
    assert timing.spread == pytest.approx(0, abs=1e-9)
    assert (timing.runs, timing.warm_up, runs.count) == (20, 10, 30)  # two windows of warm-up agree


def test_the_warm_up_lasts_until_times_are_stable() -> None:
    falling = [100 - 3 * number for number in range(20)]  # compiling, caches
    timing = Runs(*falling, 40).time(RunPlan(warm_up=0, repeats=5, seconds=100))
    assert 20 < timing.warm_up < 40
    assert timing.median_ms == pytest.approx(40)


def test_a_warm_up_that_never_is_stable_ends() -> None:
    growing = [1.3**number for number in range(100)]
    assert Runs(*growing).time(RunPlan(warm_up=7, repeats=5, seconds=1e12)).warm_up == 57


def test_at_least_the_runs_asked_for_warm_up() -> None:
    assert Runs(1.0).time(RunPlan(warm_up=25, repeats=5, seconds=100)).warm_up == 25


def test_no_run_starts_after_the_time_limit_but_five_always_count() -> None:
    timing = Runs(1000.0).time(RunPlan(warm_up=10, repeats=200, seconds=8))
    assert (timing.warm_up, timing.runs) == (9, 8)
    timing = Runs(60_000.0).time(RunPlan(warm_up=10, repeats=200, seconds=8))
    assert (timing.warm_up, timing.runs) == (2, 5)


def test_a_later_round_does_not_wait_for_stable_times() -> None:
    unstable = [10.0 * 1.2**n for n in range(60)]
    assert Runs(*unstable).time(RunPlan(warm_up=2, repeats=5, seconds=1e9)).warm_up > 2
    assert Runs(*unstable).time(RunPlan(warm_up=2, repeats=5, seconds=1e9, stable=False)).warm_up == 2


def test_disturbed_runs_do_not_change_the_result() -> None:
    disturbed = [10.0] * 10 + [10.0, 35.0, 12.0, 80.0, 11.0] * 20
    timing = Runs(*disturbed).time(RunPlan(warm_up=10, repeats=100, seconds=100))
    assert timing.median_ms == pytest.approx(10)
    assert timing.wall_ms == pytest.approx(12)
    assert timing.spread == pytest.approx((35 - 11) / 12)


def test_time_of_other_processes_is_on_the_wall_clock_only() -> None:
    timing = Runs(10.0, wall_factor=5).time(RunPlan(warm_up=10, repeats=50, seconds=100))
    assert timing.median_ms == pytest.approx(10)
    assert timing.wall_ms == pytest.approx(50)


@pytest.mark.parametrize(
    ("times", "median"), [([3.0], 3.0), ([1.0, 2.0, 9.0], 1.0), ([5, 4, 3, 2, 1, 6, 7, 8, 9, 10], 1.5)]
)
def test_the_fastest_fifth_counts(times: list[float], median: float) -> None:
    assert fastest_median(times) == median


def test_spread_is_relative() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)
    assert spread([0.0, 0.0]) == 0


def test_several_rounds_share_the_runs_and_the_first_warms_up_longest() -> None:
    plan = RunPlan(warm_up=4, repeats=10, seconds=30)
    assert plan.share(3, first=True) == RunPlan(warm_up=4, repeats=4, seconds=10, least=2)
    assert plan.share(3, first=False) == RunPlan(warm_up=2, repeats=4, seconds=10, least=2, stable=False)
    assert replace(plan, warm_up=1).share(3, first=False).warm_up == 1
    quiet, busy = RunTimes((0.01,) * 4, (0.01,) * 4, 5), RunTimes((0.02,) * 4, (0.03,) * 4, 6)
    timing = Timing.of([busy, quiet, busy])
    assert timing.median_ms == pytest.approx(10)  # a busy round does not count
    assert (timing.wall_ms, timing.runs, timing.warm_up, timing.rounds) == (30, 12, 17, 3)
