"""The committer in a separate process: a slow or failing store blocks neither labelling nor the driver."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Set
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

from orchestrator.errors import StoreError
from orchestrator.store.committer import Committer
from orchestrator.store.delta import DeltaLabelStore
from predictor.errors import AIOPError
from workers.storage.spool import open_spool

_MAX_DEATHS = 10  # in a row, before it is treated as an error
Request = Literal["drain"] | frozenset[str]  # or keys, to know which have a label


@dataclass(frozen=True, slots=True)
class Drained:
    """What one call committed. labels: new ones. seconds: of each commit. rows: labels in the store afterwards."""

    labels: int
    seconds: tuple[float, ...]
    rows: int


class CommitterProcess:
    """Commits on request. If the process is killed, it is restarted; uncommitted reports wait in the spool."""

    def __init__(self, store: str, spool: str) -> None:
        self._store, self._spool = store, spool
        self._pipe: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None before the start."""
        return self._process.pid if self._process else None

    def drain(self) -> Drained:
        """Commit until the spool is empty. Raises StoreError if the store refuses or the process keeps dying."""
        drained = self._ask("drain")
        assert isinstance(drained, Drained)
        return drained

    def labelled(self, keys: Set[str]) -> frozenset[str]:
        """Return those of some keys that have a label. Raises StoreError like `drain`."""
        found = self._ask(frozenset(keys))
        assert isinstance(found, frozenset)
        return found

    def _ask(self, request: Request) -> Drained | frozenset[str]:
        for _ in range(_MAX_DEATHS):
            pipe = self._connect()
            try:
                pipe.send(request)
                answer: Drained | frozenset[str] | str = pipe.recv()
            except (EOFError, OSError):
                self.close()
                continue
            if isinstance(answer, str):
                raise StoreError(answer)
            return answer
        raise StoreError(
            f"label store {self._store}: the committer died {_MAX_DEATHS} times in a row: see the log above"
        )

    def close(self) -> None:
        """End the process after its current request."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(60)
            self._process.kill()
        self._pipe = self._process = None

    def _connect(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")  # a fork would copy locks that Ray's threads hold
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, self._store, self._spool), name="committer", daemon=True
            )
            self._process.start()
            theirs.close()
        return self._pipe


def _serve(pipe: Connection, store: str, spool: str) -> None:
    """Answer requests until the driver ends. The driver handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    committer: Committer | None = None
    rows = 0  # labels in the store
    while True:
        try:
            request: Request = pipe.recv()
        except (EOFError, OSError):
            return
        answer: Drained | frozenset[str] | str
        try:
            if committer is None:
                opened = DeltaLabelStore(store)
                rows = opened.count()
                committer = Committer(opened, open_spool(spool))
            if isinstance(request, frozenset):
                answer = opened.labelled(request)
            else:
                answer = drained = _drain(committer, rows)
                rows = drained.rows
        except AIOPError as error:
            answer, committer = str(error), None
        except OSError as error:
            text = " ".join(str(error).split())[:300]
            answer, committer = f"spool {spool}: cannot be reached ({text}): check address, rights and network", None
        try:
            pipe.send(answer)
        except OSError:
            return


def _drain(committer: Committer, rows: int) -> Drained:
    """Commit until the spool is empty. rows: labels in the store before."""
    labels, seconds = 0, []
    while (committed := committer.run_once()) is not None:
        labels, rows = labels + committed.labels, committed.rows
        seconds.append(committed.seconds)
    return Drained(labels, tuple(seconds), rows)
