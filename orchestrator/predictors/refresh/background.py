"""Refreshes in the background of a campaign, each in its own process, so that their errors do not end the campaign."""

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

_TIME_LIMIT_S = 1800.0  # a refresh that takes longer is killed
_PROGRAM = "from orchestrator.cli import main; main()"
CPUS = 1.0  # cores that a refresh reserves; label workers keep the others


@dataclass(frozen=True, slots=True)
class Command:
    """How a refresh is started: arguments of the program, and variables to add to the environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


def refresh_command(store: str, predictors: str, address: str) -> Command:
    """Return the command for one refresh on the Ray cluster at `address`, where it waits until cores are free."""
    arguments = ["refresh", "--store", store, "--predictors", predictors, "--cpus", f"{CPUS:g}", "--json"]
    environment = {"RAY_ADDRESS": address, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": f"{_TIME_LIMIT_S:g}"}
    return Command(arguments, environment)


class BackgroundRefresher:
    """Starts a refresh after every `every` new labels, one at a time; 0: only at the end.

    interrupted: set it if labels are missing at the end. workers_in_the_way: called when a refresh starts; returns how
    many label workers must stop to free cores for it. on_result: gets the JSON document of each refresh, or
    {"decision": "failed", "reason": ...}.
    """

    def __init__(
        self,
        every: int,
        command: Command,
        workers_in_the_way: Callable[[], int],
        on_result: Callable[[dict[str, Any]], None],
    ) -> None:
        self._every, self._command = every, command
        self._workers_in_the_way, self._on_result = workers_in_the_way, on_result
        self.interrupted = False
        self._reserved = 0
        self._new, self._lock = 0, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._output: Future[tuple[bytes, bytes]] = Future()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self._started = 0.0

    def committed(self, labels: int) -> None:
        """Count labels that were committed to the store. Thread-safe."""
        with self._lock:
            self._new += labels

    @property
    def reserved(self) -> int:
        """Number of label workers whose resources the running refresh needs; 0 if none runs."""
        return self._reserved if self._process is not None else 0

    def tick(self) -> None:
        """Report a refresh that has ended, and start one that is due. Returns immediately."""
        if self._process is not None and self._output.done():
            self._report(self._process)
        elif self._process is not None and time.monotonic() - self._started > _TIME_LIMIT_S:
            self._kill()
            self._report_failure(f"did not end within {_TIME_LIMIT_S:g} s")
        if self._process is None and self._every and self._new >= self._every:
            self._start()

    def close(self) -> None:
        """Close at the end of a campaign, when the predictor has learned all labels; if interrupted, at once."""
        try:
            with suppress(KeyboardInterrupt):
                while not self.interrupted and (self._process is not None or self._new):
                    self.tick()
                    if self._process is None and self._new:
                        self._start()
                    time.sleep(0.2)
        finally:
            self._kill()
            self._reader.shutdown()

    def _start(self) -> None:
        with self._lock:
            self._new = 0
        self._started, self._reserved = time.monotonic(), self._workers_in_the_way()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *self._command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **self._command.environment},
                start_new_session=True,  # Ctrl-C reaches only the campaign, which then ends the refresh
            )
        except OSError as error:
            self._report_failure(f"could not be started: {error.strerror or error}")
            return
        self._output = self._reader.submit(self._process.communicate)

    def _report(self, process: subprocess.Popen[bytes]) -> None:
        """Report the result of a process that has ended: the last line of its output, or of its errors."""
        out, errors = (_lines(output) for output in self._output.result())
        self._process = None
        try:
            document = json.loads(out[-1]) if process.returncode == 0 and out else {}
        except ValueError:
            document = {}
        if isinstance(document, dict) and "decision" in document:
            self._on_result(document)
        elif errors:
            self._report_failure(errors[-1].removeprefix("error: "))
        else:
            self._report_failure(f"exit code {process.returncode}, without a message")

    def _report_failure(self, reason: str) -> None:
        self._on_result({"decision": "failed", "reason": reason})

    def _kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._output.result()
        self._process = None


def _lines(output: bytes) -> list[str]:
    """Return the lines that are not empty."""
    return [line for line in output.decode(errors="replace").splitlines() if line.strip()]


def describe_refresh(document: Mapping[str, Any]) -> str:
    """Return one line for the terminal."""
    generation = f", generation {document['generation']} is used" if document.get("generation") else ""
    return f"refresh: {document['decision']}: {document['reason']}{generation}"
