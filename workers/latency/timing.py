"""Time repeated runs so that other processes of the machine disturb the result little."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from workers import pulse

Clock = Callable[[], float]  # returns seconds

_FASTEST = 0.2  # share of the runs whose median counts
_WINDOW = 5  # runs of the warm-up that are compared with the next ones
_STABLE = 0.05  # relative difference of two windows, of their fastest runs
_LONGEST_WARM_UP = 10  # windows after those that are asked for
_LATER_WARM_UP = 2  # runs before each round but the first: only caches are cold


@dataclass(frozen=True, slots=True)
class RunPlan:
    """warm_up: runs before the first that counts. repeats: runs that count. seconds: after which none starts.

    The seconds are for the warm-up and for the runs that count, each; `least` runs count in any case. stable: whether
    the warm-up continues until times are stable.
    """

    warm_up: int
    repeats: int
    seconds: float
    least: int = 5
    stable: bool = True

    def share(self, rounds: int, first: bool) -> RunPlan:
        """Return the plan of one of several rounds. Before those after the first, other networks have run meanwhile."""
        repeats, seconds, least = -(-self.repeats // rounds), self.seconds / rounds, -(-self.least // rounds)
        if first:
            return RunPlan(self.warm_up, repeats, seconds, least)
        return RunPlan(min(self.warm_up, _LATER_WARM_UP), repeats, seconds, least, stable=False)


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Seconds of each run that counts, on the clock that counts and on the wall clock. warm_up: runs before them."""

    costs: tuple[float, ...]
    walls: tuple[float, ...]
    warm_up: int


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of a run.

    median_ms: median of the fastest fifth of the runs, which other processes disturb least. spread: interquartile range
    of all runs by their median. wall_ms: median of all runs on the wall clock. runs, warm_up: numbers of runs. rounds:
    how many times the runs were interrupted by those of other networks, plus one.
    """

    median_ms: float
    spread: float
    wall_ms: float
    runs: int
    warm_up: int
    rounds: int = 1

    @classmethod
    def of(cls, rounds: Sequence[RunTimes]) -> Timing:
        """Return the time of a run over all rounds."""
        costs = [seconds for times in rounds for seconds in times.costs]
        walls = [seconds for times in rounds for seconds in times.walls]
        return cls(
            median_ms=1e3 * fastest_median(costs),
            spread=spread(costs),
            wall_ms=1e3 * median(walls),
            runs=len(costs),
            warm_up=sum(times.warm_up for times in rounds),
            rounds=len(rounds),
        )


def time_runs(run: Callable[[], object], plan: RunPlan, cost: Clock, wall: Clock = time.perf_counter) -> RunTimes:
    """Time `run`, which has ended when it returns.

    cost: the clock that counts, such as the CPU time of this thread. wall: the clock of `RunPlan.seconds`.
    """
    warm_up = _warm_up(run, plan, cost, wall)
    costs, walls, began = list[float](), list[float](), wall()
    while len(costs) < plan.repeats and (len(costs) < plan.least or wall() - began < plan.seconds):
        cost_before, wall_before = cost(), wall()
        run()
        costs.append(cost() - cost_before)
        walls.append(wall() - wall_before)
        pulse.beat()
    return RunTimes(tuple(costs), tuple(walls), warm_up)


def fastest_median(seconds: Sequence[float]) -> float:
    """Return the median of the fastest fifth of times, at least one.

    Other processes take caches and memory bandwidth, and only ever make a run slower.
    """
    return median(sorted(seconds)[: max(1, round(_FASTEST * len(seconds)))])


def spread(seconds: Sequence[float]) -> float:
    """Return the interquartile range of at least two times by their median; 0 if all are 0."""
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    return (high - low) / middle if middle else 0.0


def _warm_up(run: Callable[[], object], plan: RunPlan, cost: Clock, wall: Clock) -> int:
    """Run as often as planned, and until the fastest runs of two windows agree or a limit is reached if `plan.stable`.

    Returns the number of runs. The first runs compile, choose kernels and fill caches. On a busy machine times may
    never be stable. The first run, which may compile for minutes, does not count towards the time limit.
    """
    costs, began = list[float](), wall()
    most = plan.warm_up + (_LONGEST_WARM_UP * _WINDOW if plan.stable else 0)
    while len(costs) < most and (len(costs) < plan.warm_up or not _is_stable(costs)):
        if len(costs) == 1:
            began = wall()
        elif costs and wall() - began >= plan.seconds:
            break
        before = cost()
        run()
        costs.append(cost() - before)
        pulse.beat()
    return len(costs)


def _is_stable(costs: Sequence[float]) -> bool:
    if len(costs) < 2 * _WINDOW:
        return False
    before, last = min(costs[-2 * _WINDOW : -_WINDOW]), min(costs[-_WINDOW:])
    return abs(last - before) <= _STABLE * before
