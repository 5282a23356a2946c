"""Refreshes beside a campaign, each in a process of its own: what goes wrong there ends no campaign."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_LIMIT_S = 1800.0  # one that takes longer hangs
_PROGRAM = "from orchestrator.cli import main; main()"
CPUS = 1.0  # that a refresh reserves: labelling keeps the others


@dataclass(frozen=True, slots=True)
class Command:
    """How a refresh is started: arguments of the program, and what its environment has beside this process's."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


def refresh_command(store: str, predictors: str, address: str) -> Command:
    """On the Ray at `address`, where it waits for room as long as labels take to end."""
    arguments = ["refresh", "--store", store, "--predictors", predictors, "--cpus", f"{CPUS:g}", "--json"]
    patience = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": f"{_LIMIT_S:g}"}
    return Command(arguments, {"RAY_ADDRESS": address} | patience)


class BackgroundRefresher:
    """Starts a refresh whenever `every` new labels have come since the last began, never two at once.

    room: asked when one starts, how many label workers are in its way. told: gets each refresh's document, or
    {"decision": "failed", "reason": ...}.
    """

    def __init__(
        self, every: int, command: Command, room: Callable[[], int], told: Callable[[dict[str, Any]], None]
    ) -> None:
        self._every, self._command, self._room, self._told = every, command, room, told
        self._held = 0
        self._new, self._lock = 0, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: Future[tuple[bytes, bytes]] = Future()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self._since = 0.0

    def committed(self, labels: int) -> None:
        """So many labels came into the store. May be called by another thread."""
        with self._lock:
            self._new += labels

    @property
    def held(self) -> int:
        """How many label workers must make room for the one under way."""
        return self._held if self._process is not None else 0

    def tick(self) -> None:
        """Start what is due, and take what has ended. Takes no time."""
        if self._process is not None and self._said.done():
            self._take(self._process)
        elif self._process is not None and time.monotonic() - self._since > _LIMIT_S:
            self._kill()
            self._told({"decision": "failed", "reason": f"no end within {_LIMIT_S:g} s"})
        if self._process is None and self._due():
            self._start()

    def close(self, complete: bool) -> None:
        """At the campaign's end. complete: wait for the one under way, and for one more that is due; else end it."""
        try:
            with suppress(KeyboardInterrupt):
                while complete and (self._process is not None or self._due()):
                    self.tick()
                    time.sleep(0.2)
        finally:
            self._kill()
            self._reader.shutdown()

    def _due(self) -> bool:
        with self._lock:
            return self._new >= self._every

    def _start(self) -> None:
        with self._lock:
            self._new = 0
        self._since, self._held = time.monotonic(), self._room()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *self._command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **self._command.environment},
                start_new_session=True,  # Ctrl-C is the campaign's business
            )
        except OSError as error:
            self._told({"decision": "failed", "reason": f"could not be started: {error.strerror or error}"})
            return
        self._said = self._reader.submit(self._process.communicate)

    def _take(self, process: subprocess.Popen[bytes]) -> None:
        out, errors = (_lines(said) for said in self._said.result())
        self._process = None
        try:
            document = json.loads(out[-1]) if process.returncode == 0 and out else {}
        except ValueError:
            document = {}
        if not isinstance(document, dict) or "decision" not in document:
            reason = errors[-1].removeprefix("error: ") if errors else f"it ended with {process.returncode}"
            document = {"decision": "failed", "reason": reason}
        self._told(document)

    def _kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._said.result()
        self._process = None


def _lines(said: bytes) -> list[str]:
    """Those that are not empty."""
    return [line for line in said.decode(errors="replace").splitlines() if line.strip()]


def told_in_words(document: Mapping[str, Any]) -> str:
    """A line for people."""
    generation = f", generation {document['generation']} is used" if document.get("generation") else ""
    return f"refresh: {document['decision']}: {document['reason']}{generation}"
