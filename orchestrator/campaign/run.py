"""The driver loop: passes events to the controller and its actions to the executor."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.campaign.actions import Action, Dispatch, Finish, Kill, SaveReport, Spawn
from orchestrator.campaign.clock import steady_time
from orchestrator.campaign.commit_thread import Commit, CommitThread
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.events import Drain, Event, LabelsStored, Stop, Tick
from orchestrator.campaign.executor import Executor
from orchestrator.campaign.progress import CampaignProgress, CampaignState
from orchestrator.campaign.unsaved_reports import UnsavedReports
from workers.messages.label import AttemptReport
from workers.storage.patience import PATIENCE_S

Observer = Callable[[CampaignProgress], None]


def run_campaign(
    controller: CampaignController,
    executor: Executor,
    *,
    record: Callable[[AttemptReport], object],
    commit: Commit = lambda: None,
    observer: Observer | None = None,
    clock: Callable[[], float] = steady_time,
    poll_s: float = 0.5,
    commit_every_s: float = 5.0,
    patience_s: float = PATIENCE_S,
) -> CampaignProgress:
    """Run until the controller finishes. Always close the executor and commit, also after an error.

    The first SIGINT drains the campaign, the second stops it.

    Args:
        record: saves a report that no worker could write.
        commit: moves reports from the spool to the store; called in another thread, and again at the end. Returns keys
            of waiting labels that are in the store, which are then not made.
        observer: called with the progress about every `poll_s` seconds.
        patience_s: how long the spool and the store may refuse to be written before the campaign ends.
    """
    committer, unsaved = CommitThread(commit, commit_every_s, patience_s), UnsavedReports(record, patience_s)
    try:
        with _interrupts() as interrupts:
            _loop(controller, executor, unsaved, committer, observer, clock, poll_s, interrupts)
    finally:
        # Finished labels must reach the store even if the executor fails.
        try:
            executor.close()
        finally:
            try:
                unsaved.close()
            finally:
                committer.close()
    return controller.progress


def _loop(
    controller: CampaignController,
    executor: Executor,
    unsaved: UnsavedReports,
    committer: CommitThread,
    observer: Observer | None,
    clock: Callable[[], float],
    poll_s: float,
    interrupts: Iterator[Event],
) -> None:
    last_tick = clock()
    _act(controller.handle(Tick(last_tick)), executor, unsaved, last_tick)
    while controller.state is not CampaignState.FINISHED:
        events = executor.poll(poll_s)
        for event in (*interrupts, *events):
            _act(controller.handle(event), executor, unsaved, clock())
        now = clock()
        # A tick checks the time limits of all workers, so a busy loop does it only every `poll_s` seconds.
        if not events or now - last_tick >= poll_s or controller.state is CampaignState.STOPPING:
            last_tick = now
            if controller.state is CampaignState.STOPPING:
                for event in executor.poll(0):
                    _act(controller.handle(event), executor, unsaved, now)
            _act(controller.handle(Tick(now)), executor, unsaved, now)
            unsaved.retry(now)
            if stored := tuple(committer.tick(now)):
                _act(controller.handle(LabelsStored(stored, now)), executor, unsaved, now)
            if observer:
                observer(controller.progress)


def _act(actions: Iterable[Action], executor: Executor, unsaved: UnsavedReports, now: float) -> None:
    for action in actions:
        match action:
            case Spawn(worker):
                executor.spawn(worker)
            case Dispatch(worker, job):
                executor.dispatch(worker, job)
            case Kill(worker):
                executor.kill(worker)
            case SaveReport(report):
                unsaved.add(report, now)
            case Finish():
                pass


class _Interrupts:
    """Iterates over the events of interrupts since the last iteration."""

    def __init__(self) -> None:
        self.count = 0
        self._seen = 0

    def __iter__(self) -> _Interrupts:
        return self

    def __next__(self) -> Event:
        if self._seen >= self.count:
            raise StopIteration
        self._seen += 1
        return Drain() if self._seen == 1 else Stop()


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    """Count SIGINT instead of raising KeyboardInterrupt. Only the main thread may set signal handlers."""
    interrupts = _Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def count(number: int, frame: Any) -> None:
        interrupts.count += 1

    before = signal.signal(signal.SIGINT, count)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
