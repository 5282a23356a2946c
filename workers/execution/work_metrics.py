"""What a worker exports to the dashboard and Prometheus while it makes labels."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from ray.util.metrics import Counter, Gauge, Histogram

from workers import tally
from workers.pulse import Pulse
from workers.tally import Tally

_PHASE_BOUNDS = [0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600]


class WorkMetrics:
    """Exported as ray_orchestrator_* with the tags task and space. Ray must be initialised.

    phase_seconds (by phase), training_seconds_total, loader_wait_seconds_total, checkpoints_total, silence_seconds. May
    be used by several threads.
    """

    def __init__(self, task: str, space: str) -> None:
        tags = {"task": task, "space": space}
        keys = tuple(tags)
        self._phases = Histogram(
            "orchestrator_phase_seconds", "Seconds a phase of a label.", _PHASE_BOUNDS, (*keys, "phase")
        )
        self._training = Counter("orchestrator_training_seconds_total", "Seconds in trainings, loading included.", keys)
        self._waiting = Counter(
            "orchestrator_loader_wait_seconds_total", "Seconds that trainings waited for data.", keys
        )
        self._checkpoints = Counter("orchestrator_checkpoints_total", "Checkpoints written inside labels.", keys)
        self._silence = Gauge("orchestrator_silence_seconds", "Seconds since a worker's last sign of life.", keys)
        for metric in (self._phases, self._training, self._waiting, self._checkpoints, self._silence):
            metric.set_default_tags(tags)
        self._lock, self._published = Lock(), Tally()

    def attempt_ended(self, seconds: Mapping[str, float]) -> None:
        """Publish the seconds of an attempt by phase; a failed one has none."""
        for phase, value in seconds.items():
            self._phases.observe(value, {"phase": phase})
        self._publish_tally()
        self._silence.set(0.0)  # between attempts no sign is awaited

    def alive(self, pulse: Pulse) -> None:
        """Publish how long ago the last sign of life was, and what changed since the last call."""
        self._silence.set(pulse.age_s)
        self._publish_tally()

    def _publish_tally(self) -> None:
        """Publish what this process's sums have grown by since the last call."""
        with self._lock:
            now = tally.read()
            grown, self._published = now - self._published, now
        for counter, value in (
            (self._training, grown.training_s),
            (self._waiting, grown.waiting_s),
            (self._checkpoints, grown.checkpoints),
        ):
            if value > 0:  # Ray refuses to add nothing
                counter.inc(value)
