"""A storm of faults over a running campaign: draws them from a seed, and checks the store while they happen.

The campaign's driver is any command that continues where it was killed. It is started again whenever it dies.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.tables import open_table
from tests.support.ray_clusters import children, title
from tests.support.storm_machines import Machines
from tests.support.storm_places import Place
from workers.messages.label import Outcome

_STOPPED_S = 1.0  # at most
_DRIVER_STARTS_S = 120.0  # at most, until a driver has workers
_DRIVER_ENDS_S = 120.0  # at most, until the driver has ended after its cluster has
_CHECK_EVERY = 4  # faults: reading a whole store takes as long as several labels
_TELL_EVERY = 50
_LAST_RUNS = 5  # runs of the driver after the last fault


@dataclass
class Fault:
    """One fault that happened. recovery_s: from its end until all machines run and a further label is there."""

    kind: str
    recovery_s: float = 0.0


@dataclass
class Storm:
    """Faults on one campaign.

    command: of the driver, which runs on the head; it prints a JSON document at its end. place: the store, which has
    faults too. machines: the cluster. count: labels that the campaign makes. last_labels: there are no more faults when
    so few are left, so that its end is undisturbed. also: a further check after each fault.
    """

    command: list[str]
    place: Place
    machines: Machines
    count: int
    rng: random.Random
    last_labels: int = 200
    also: Callable[[], None] = lambda: None
    faults: list[Fault] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    starts: int = 0  # of the driver
    heads_lost: int = 0  # by faults of the head, or by Ray after other faults

    def __post_init__(self) -> None:
        self._driver: subprocess.Popen[str] | None = None
        self._kinds: dict[str, tuple[float, Callable[[], bool]]] = {
            "kill a worker": (8, lambda: self._kill(self._workers())),
            "stop a worker for a while": (4, lambda: self._pause(self._workers())),
            "refuse a worker memory for a while": (2, lambda: self._refuse_memory(self._workers())),
            "kill the committer": (4, lambda: self._kill(self._committer())),
            "stop the committer for a while": (2, lambda: self._pause(self._committer())),
            "kill the driver": (1, self._kill_driver),
            "stop the driver for a while": (2, lambda: self._pause(self._driver_process())),
            "stop a raylet for a while": (1, lambda: self._pause(self._on_nodes("raylet --"))),
            "kill a node's agent": (1, lambda: self._kill(self._on_nodes("DashboardAgent"))),
            **self.machines.kinds,
            **self.place.kinds,
        }

    def run(self, wanted: int, every_s: float) -> dict[str, Any]:
        """Cause `wanted` faults, fewer if the campaign ends before; then let it end. Returns its last counts."""
        while len(self.faults) < wanted and self.count - self._labels() > self.last_labels:
            self._keep_driver_alive()
            time.sleep(self.rng.expovariate(1 / every_s))
            kind = self.rng.choices([*self._kinds], [weight for weight, _ in self._kinds.values()])[0]
            before = self._labels()
            if self._kinds[kind][1]():
                self.faults.append(Fault(kind, self._recover(before)))
                if len(self.faults) % _CHECK_EVERY == 0:
                    self.check()
                    self.also()
                if len(self.faults) % _TELL_EVERY == 0:
                    print(
                        f"{len(self.faults)} faults, {self._labels()} attempts", *self.by_kind(), sep="\n  ", flush=True
                    )
        return self._finish()

    def check(self) -> None:
        """Check that every acknowledged label is in spool or store, and no key is in the store twice."""
        waiting = {report.job.request.key for report in self.place.reports() if report.outcome is Outcome.OK}
        rows = self._store().labels().column("key").to_pylist()
        assert len(rows) == len(set(rows)), f"{len(rows) - len(set(rows))} labels are in the store twice"
        lost = self.acknowledged - set(rows) - waiting - self.place.damaged
        # A report may move from the spool to the store between the two reads, but not out of both.
        lost -= self._store().keys() if lost else set()
        assert not lost, f"acknowledged labels are lost, with these attempts: {self._attempts(lost)}"
        self.acknowledged |= waiting | set(rows)

    def _attempts(self, keys: set[str]) -> list[tuple[str, str]]:
        rows = self._store().attempts().to_pylist()
        stored = [(row["attempt_id"], row["outcome"]) for row in rows if row["key"] in keys]
        reports = [report for report in self.place.reports() if report.job.request.key in keys]
        return stored + [(report.job.attempt_id, f"{report.outcome} in the spool") for report in reports]

    def by_kind(self) -> Iterator[str]:
        """Yield a line for each kind: how many, median and longest recovery."""
        for kind, count in sorted(Counter(fault.kind for fault in self.faults).items()):
            seconds = sorted(fault.recovery_s for fault in self.faults if fault.kind == kind)
            yield f"{kind}: {count}, recovery {seconds[len(seconds) // 2]:.1f} s, at most {seconds[-1]:.1f} s"

    def _finish(self) -> dict[str, Any]:
        for _ in range(_LAST_RUNS):
            self._keep_driver_alive()
            assert self._driver is not None
            begin = time.monotonic()
            while self._driver.poll() is None:
                assert time.monotonic() - begin < 900, "the campaign does not end"
                self._restore_machines()
                time.sleep(0.5)
            (out, _), code, self._driver = self._driver.communicate(), self._driver.returncode, None
            store = self._store()
            if code == 0 and not self.place.damaged - store.keys() - store.finally_failed():
                end: dict[str, Any]
                end, _ = json.JSONDecoder().raw_decode(out, out.index("{"))  # Ray may print lines before and after it
                return end  # otherwise the next run makes the labels of damaged reports again
        raise AssertionError(f"the campaign does not end: exit code {code} after {_LAST_RUNS} runs")

    def _keep_driver_alive(self) -> None:
        if self._driver is None or self._driver.poll() is not None:
            head = self.machines.head
            command = head.command(*self.command)
            self._driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=head.environment)
            self.starts += 1
            begin = time.monotonic()
            while not self._workers() and self._driver.poll() is None:
                assert time.monotonic() - begin < _DRIVER_STARTS_S, "the driver starts no worker"
                self.machines.restore()
                time.sleep(0.2)

    def _labels(self) -> int:
        """Return the number of attempts that are in spool or store."""
        ids = self.place.waiting()
        table = open_table(f"{self.place.uri}/attempts", None)
        if table is not None:
            ids |= set(table.to_pyarrow_dataset().to_table(columns=["attempt_id"]).column(0).to_pylist())
        return len(ids)

    def _recover(self, before: int) -> float:
        """Start what has died again, and wait until there are more labels than `before` the fault."""
        begin = time.monotonic()
        while True:
            self._restore_machines()
            self._keep_driver_alive()
            if self._labels() > before:
                return time.monotonic() - begin
            assert time.monotonic() - begin < 300, f"no label for 300 s after: {self.faults[-1:]}"
            time.sleep(0.1)

    def _store(self) -> DeltaLabelStore:
        return DeltaLabelStore(self.place.uri)

    def _driver_process(self) -> list[psutil.Process]:
        if self._driver is None or self._driver.poll() is not None:
            return []
        return [psutil.Process(self._driver.pid)]

    def _committer(self) -> list[psutil.Process]:
        """Return the driver's processes that Python spawned; the committer is the only one."""
        return [p for driver in self._driver_process() for p in children(driver) if "spawn_main" in title(p)]

    def _workers(self) -> list[psutil.Process]:
        return self._on_nodes("LabelActor")

    def _on_nodes(self, titled: str) -> list[psutil.Process]:
        return [process for node in self.machines.nodes for process in node.processes(titled)]

    def _kill(self, processes: list[psutil.Process]) -> bool:
        if not processes:
            return False
        with suppress(psutil.NoSuchProcess):
            self.rng.choice(processes).kill()
        return True

    def _pause(self, processes: list[psutil.Process]) -> bool:
        if not processes:
            return False
        chosen = self.rng.choice(processes)
        with suppress(psutil.NoSuchProcess):
            chosen.suspend()
            time.sleep(self.rng.uniform(0.1, _STOPPED_S))
            chosen.resume()
        return True

    def _refuse_memory(self, processes: list[psutil.Process]) -> bool:
        """Let a process map no more memory than it has."""
        if not processes:
            return False
        chosen = self.rng.choice(processes)
        with suppress(psutil.NoSuchProcess):
            before = chosen.rlimit(psutil.RLIMIT_AS)
            chosen.rlimit(psutil.RLIMIT_AS, (chosen.memory_info().vms, before[1]))
            time.sleep(self.rng.uniform(0.1, _STOPPED_S))
            chosen.rlimit(psutil.RLIMIT_AS, before)
        return True

    def _kill_driver(self) -> bool:
        if self._driver is None:
            return False
        self._driver.kill()
        self._driver.wait()
        return True

    def _restore_machines(self) -> None:
        """Start what has died again. A driver that has lost its head ends by itself, with an error."""
        if self._driver is not None and not self.machines.head.alive:
            assert self._driver.wait(_DRIVER_ENDS_S) != 0, (
                "a driver without a head ended as if its campaign were complete"
            )
        self.machines.restore()
