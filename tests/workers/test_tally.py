"""Seconds of training and of waiting for data, and what a worker publishes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workers import tally
from workers.execution import work_metrics
from workers.pulse import Pulse
from workers.tally import Tally


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(tally, "time", clock)
    return clock


def _batches(clock: _Clock, seconds: list[float]) -> Iterator[int]:
    for number, each in enumerate(seconds):
        clock.now += each
        yield number


def test_waiting_is_counted_apart_from_training(clock: _Clock) -> None:
    before = tally.read()
    for _ in tally.count_waiting(_batches(clock, [3.0, 0.5])):
        clock.now += 10.0
    tally.add_checkpoint()
    assert tally.read() - before == Tally(training_s=23.5, waiting_s=3.5, checkpoints=1)


def test_a_training_that_ends_early_is_counted_up_to_its_last_batch(clock: _Clock) -> None:
    before = tally.read()
    for number in tally.count_waiting(_batches(clock, [3.0, 0.5, 1.0])):
        if number:
            break
        clock.now += 10.0
    assert tally.read() - before == Tally(training_s=13.5, waiting_s=3.5, checkpoints=0)


class _Metric:
    """Records what a metric of Ray would publish."""

    recorded: dict[str, list[float]]

    def __init__(self, name: str, *_: object) -> None:
        self.values = self.recorded.setdefault(name.removeprefix("orchestrator_"), [])

    def set_default_tags(self, tags: dict[str, str]) -> None:
        assert tags == {"task": "seg", "space": "nasbench201"}

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        assert value > 0  # as Ray demands
        self.values.append(value)

    observe = set = inc


def test_each_second_is_published_once(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _Metric.recorded = recorded = {}
    monkeypatch.setattr(_Metric, "set", lambda self, value: self.values.append(value))
    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(work_metrics, kind, _Metric)
    metrics = work_metrics.WorkMetrics("seg", "nasbench201")
    metrics.alive(Pulse("", 0.0, 0, 0))  # what this process did before
    for values in recorded.values():
        values.clear()
    for _ in tally.count_waiting(_batches(clock, [2.0, 1.0])):
        clock.now += 5.0
        metrics.alive(Pulse("attempt", 4.0, 1, 0))
    metrics.attempt_ended({"train": 13.0})
    assert recorded == {
        "phase_seconds": [13.0],
        "training_seconds_total": [2.0, 6.0, 5.0],
        "loader_wait_seconds_total": [2.0, 1.0],
        "checkpoints_total": [],
        "silence_seconds": [4.0, 4.0, 0.0],
    }
