"""The contract of an executor, which carries out the controller's actions."""

from __future__ import annotations

from typing import Protocol

from orchestrator.campaign.events import Event
from workers.messages.label import LabelJob


class Executor(Protocol):
    """Owns the workers. Unknown worker ids are ignored, because their worker may just have died."""

    def spawn(self, worker: int) -> None:
        """Start a worker as soon as resources are free; a later poll returns WorkerReady or WorkerLost."""
        ...

    def dispatch(self, worker: int, job: LabelJob) -> None:
        """Start a job on a ready worker; a later poll returns AttemptEnded or WorkerLost."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker. A result that is already available is still reported; the death is not."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """Wait up to `timeout` seconds for an event and return all events, CapacityChanged included."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...
