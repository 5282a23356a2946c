"""What acts for the controller."""

from __future__ import annotations

from typing import Protocol

from orchestrator.campaign.events import Event
from workers.messages.label import LabelJob


class Executor(Protocol):
    """Owns the workers. Unknown worker ids are ignored: their worker died just now."""

    def spawn(self, worker: int) -> None:
        """Start a worker, as soon as there is room; a later poll says WorkerReady or WorkerLost."""
        ...

    def dispatch(self, worker: int, job: LabelJob) -> None:
        """Start a job on a ready worker; a later poll says AttemptEnded or WorkerLost."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker. A result that was there already is still reported; its death is not."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """What happened, RoomChanged included, after waiting up to `timeout` seconds for something to happen."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...
