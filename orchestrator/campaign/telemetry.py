"""A campaign's numbers as Ray metrics, for the dashboard and Prometheus.

Architecture ids are not among the tags, because every distinct tag creates a time series.
"""

from __future__ import annotations

from collections.abc import Callable

from ray.util.metrics import Counter, Gauge, Histogram

from orchestrator.campaign.progress import CampaignProgress
from orchestrator.store.committer_process import Drained
from workers.messages.label import Outcome

_COMMIT_BOUNDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0]


class GenerationMetrics:
    """Exported as ray_orchestrator_generation and ray_orchestrator_generation_hold_out. Ray must be initialised."""

    def __init__(self) -> None:
        self._number = Gauge("orchestrator_generation", "The predictor's generation in use.")
        self._score = Gauge("orchestrator_generation_hold_out", "Its pooled rank correlation on the hold-out.")

    def observe(self, number: int, hold_out: float | None) -> None:
        """Publish the generation in use. hold_out: its score; None if it was not tested."""
        self._number.set(float(number))
        if hold_out is not None:
            self._score.set(hold_out)


class CampaignMetrics:
    """Exported as ray_orchestrator_* with the tags task and space. Ray must be initialised.

    labels_total (by outcome of the attempt), queue_depth, in_flight, workers, workers_starting, utilisation,
    commit_seconds, store_rows. The workers add those of `workers.execution.work_metrics`.
    """

    def __init__(self, task: str, space: str) -> None:
        tags = {"task": task, "space": space}
        keys = tuple(tags)
        self._attempts = Counter("orchestrator_labels_total", "Ended attempts.", (*keys, "outcome"))
        self._attempts.set_default_tags(tags)
        self._gauges: list[tuple[Gauge, Callable[[CampaignProgress], float]]] = []
        gauges: tuple[tuple[str, str, Callable[[CampaignProgress], float]], ...] = (
            ("queue_depth", "Labels that wait for a worker.", lambda p: p.todo),
            ("in_flight", "Labels in progress.", lambda p: p.in_flight),
            ("workers", "Workers that are ready.", lambda p: p.in_flight + p.idle),
            ("workers_starting", "Workers that start or wait for resources.", lambda p: p.starting),
            ("utilisation", "Share of the workers' time spent on labels.", lambda p: p.utilisation),
        )
        for name, text, read in gauges:
            gauge = Gauge(f"orchestrator_{name}", text, keys)
            gauge.set_default_tags(tags)
            self._gauges.append((gauge, read))
        self._commit = Histogram("orchestrator_commit_seconds", "Seconds per commit.", _COMMIT_BOUNDS, keys)
        self._commit.set_default_tags(tags)
        self._rows = Gauge("orchestrator_store_rows", "Labels in the store, of all campaigns.", keys)
        self._rows.set_default_tags(tags)
        self._seen: dict[Outcome, int] = {}

    def observe(self, progress: CampaignProgress) -> None:
        """Publish the changes since the last call."""
        for outcome, count in progress.outcomes.items():
            if (new := count - self._seen.get(outcome, 0)) > 0:
                self._attempts.inc(new, {"outcome": str(outcome)})
                self._seen[outcome] = count
        for gauge, read in self._gauges:
            gauge.set(float(read(progress)))

    def committed(self, drained: Drained) -> None:
        """Publish the latency of commits and the number of labels in the store."""
        self._rows.set(float(drained.rows))
        for seconds in drained.seconds:
            self._commit.observe(seconds)
