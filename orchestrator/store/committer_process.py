"""The committer in a process of its own: a slow or dying store holds up neither labelling nor the driver."""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection

from orchestrator.errors import StoreError
from orchestrator.store.committer import Committer
from orchestrator.store.delta import DeltaLabelStore
from predictor.errors import AIOPError
from workers.storage.spool import open_spool

_DEATHS = 10  # in a row; then it is no accident


@dataclass(frozen=True, slots=True)
class Drained:
    """What one call committed: new labels, the seconds each of its commits took, and the labels now stored."""

    labels: int
    seconds: tuple[float, ...]
    rows: int


class CommitterProcess:
    """Commits on request. Killed, it is started anew; what it had not finished waits in the spool."""

    def __init__(self, store: str, spool: str) -> None:
        self._store, self._spool = store, spool
        self._pipe: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id, once it was started."""
        return self._process.pid if self._process else None

    def drain(self) -> Drained:
        """Commit until the spool is empty. Raises StoreError when the store refuses, or the process keeps dying."""
        for _ in range(_DEATHS):
            pipe = self._connect()
            try:
                pipe.send("drain")
                answer = pipe.recv()
            except (EOFError, OSError):
                self.close()
                continue
            if isinstance(answer, str):
                raise StoreError(answer)
            return Drained(*answer)
        raise StoreError(f"label store {self._store}: the committer died {_DEATHS} times in a row: see the log above")

    def close(self) -> None:
        """End the process after what it is doing."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(60)
            self._process.kill()
        self._pipe = self._process = None

    def _connect(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")  # a fork would copy Ray's threads' locks
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, self._store, self._spool), name="committer", daemon=True
            )
            self._process.start()
            theirs.close()
        return self._pipe


def _serve(pipe: Connection, store: str, spool: str) -> None:
    """Answer requests until the driver is gone. Ctrl-C is the driver's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    committer: Committer | None = None
    rows = 0
    while True:
        try:
            pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if committer is None:
                opened = DeltaLabelStore(store)
                rows = len(opened.keys())
                committer = Committer(opened, open_spool(spool))
            drained = _drain(committer, rows)
            answer: str | tuple[int, tuple[float, ...], int] = drained
            rows = drained[2]
        except AIOPError as error:
            answer, committer = str(error), None
        except OSError as error:
            text = " ".join(str(error).split())[:300]
            answer, committer = f"spool {spool}: cannot be reached ({text}): check address, rights and network", None
        try:
            pipe.send(answer)
        except OSError:
            return


def _drain(committer: Committer, rows: int) -> tuple[int, tuple[float, ...], int]:
    """Labels added, seconds of each commit, labels now stored; `rows` were stored when last asked."""
    labels, seconds = 0, []
    while (committed := committer.run_once()) is not None:
        labels, rows = labels + committed.labels, committed.rows
        seconds.append(committed.seconds)
    return labels, tuple(seconds), rows
