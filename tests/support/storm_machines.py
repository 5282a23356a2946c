"""The machines of a campaign under storm: a Ray head and nodes in network namespaces, which fail as machines do."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.network_spaces import Bridge, NetworkSpace
from tests.support.ray_clusters import title

_PORT = 6379
_BRIDGE = Bridge("storm", subnet=78)
_NETWORK_S = 2.0  # at most, that a network has a fault
_CLOCK_S = 86_400.0  # at most, that a clock is wrong
_GIVEN_UP_S = 60.0  # at most, until a machine that is cut off ends
_CLOCK = Path(__file__).with_name("jumping_clock")
# A node without a network for five seconds is dead to the head, and one without the head for ten ends.
_RAY = (
    '{"health_check_initial_delay_ms": 2000, "health_check_period_ms": 1000, "health_check_timeout_ms": 1000,'
    ' "health_check_failure_threshold": 4, "gcs_rpc_server_reconnect_timeout_s": 10}'
)


def missing_requirements() -> str:
    """Return why there can be no such machines here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces and small disks need root"
    lacking = [tool for tool in ("ip", "tc", "iptables", "nsenter") if shutil.which(tool) is None]
    return f"not installed: {', '.join(lacking)} (apt-get install iproute2 iptables util-linux)" if lacking else ""


class Machine:
    """A machine with a Ray node. number: 1 is the head, which has no cores."""

    def __init__(self, number: int, folder: Path) -> None:
        self.head, self.space = number == 1, NetworkSpace(_BRIDGE, number)
        self._folder, self._clock = folder, folder / f"clock{number}"
        self._ray: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the machine's processes."""
        path = os.pathsep.join(filter(None, [str(_CLOCK), os.environ.get("PYTHONPATH", "")]))
        address = NetworkSpace(_BRIDGE, 1).address
        own = {"PYTHONPATH": path, "AIOP_TEST_CLOCK": str(self._clock), "RAY_ADDRESS": f"{address}:{_PORT}"}
        return {**os.environ, **own, "RAY_TMPDIR": str(self._folder)}

    @property
    def alive(self) -> bool:
        """Whether the Ray node lives. It ends if one of its processes does, which takes a head without GCS a minute."""
        running = self._ray is not None and self._ray.poll() is None
        return running and (not self.head or self.processes("/gcs_server ") != [])

    def command(self, *command: str) -> list[str]:
        """Return a command that runs another one on the machine."""
        return ["nsenter", f"--net=/run/netns/{self.space.name}", *command]

    def start(self) -> None:
        """Start the Ray node; the head answers when this returns."""
        ray = str(Path(sys.executable).with_name("ray"))
        options = ["--block", "--disable-usage-stats", f"--node-ip-address={self.space.address}"]
        options += ["--object-store-memory=150000000"]
        if self.head:
            options += ["--head", f"--port={_PORT}", "--num-cpus=0", "--include-dashboard=false"]
            options += [f"--temp-dir={self._folder}", f"--system-config={_RAY}"]
        else:
            options += [f"--address={self.environment['RAY_ADDRESS']}", "--num-cpus=2"]
        environment = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        log = (self._folder / f"{self.space.name}.log").open("ab")
        command = self.command(ray, "start", *options)
        self._ray = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        if self.head:
            self._wait_until_it_answers()

    def kill(self) -> None:
        """Kill all processes of the machine."""
        while processes := self.processes():
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        if self._ray is not None:
            self._ray.wait()

    def processes(self, titled: str = "") -> list[psutil.Process]:
        """Return the machine's processes with that text in their title."""
        found = list[psutil.Process]()
        for number in self.space.processes():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(number))
        return [process for process in found if process.is_running() and titled in title(process)]

    def set_clock(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._clock.write_text(str(seconds))

    def _wait_until_it_answers(self) -> None:
        for _ in range(600):
            with suppress(OSError), socket.create_connection((self.space.address, _PORT), timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError(f"the head does not start, see {self._folder}")


class Machines:
    """A head and nodes with two cores each. kinds: their faults by name. host: this machine's address for them."""

    def __init__(self, nodes: int, folder: Path, rng: random.Random) -> None:
        self._rng, self.host = rng, _BRIDGE.host
        self.head, *self.nodes = (Machine(number, folder) for number in range(1, nodes + 2))
        self.kinds: dict[str, tuple[float, Callable[[], bool]]] = {
            "kill a node": (1, lambda: self._lose(self._rng.choice(self.nodes))),
            "kill the head machine": (0.5, lambda: self._lose(self.head)),
            "kill the head's GCS": (0.5, self._kill_gcs),
            "cut a machine off for a while": (3, self._cut),
            "cut a node off until Ray gives it up": (0.3, self._cut_for_long),
            "lose a fifth of a machine's packets": (2, self._lose_packets),
            "slow a machine's network down": (2, self._slow_down),
            "set a machine's clock": (3, self._set_clock),
        }

    def connect(self) -> None:
        """Make the network."""
        self.close()  # remove what a killed run has left
        _BRIDGE.start()
        for machine in (self.head, *self.nodes):
            machine.space.start()

    def start(self) -> None:
        """Start Ray on all machines."""
        for machine in (self.head, *self.nodes):
            machine.start()

    def close(self) -> None:
        """End all machines and their network."""
        for machine in (self.head, *self.nodes):
            if Path("/run/netns", machine.space.name).exists():
                machine.kill()
            machine.space.close()
        _BRIDGE.close()

    def restore(self) -> None:
        """Start again what has died: a node, or all machines if it was the head."""
        everything = [self.head, *self.nodes]
        dead = [node for node in self.nodes if not node.alive] if self.head.alive else everything
        for machine in dead:
            machine.kill()
        for machine in dead:
            machine.start()

    def _any(self) -> Machine:
        return self._rng.choice([self.head, *self.nodes])

    def _lose(self, machine: Machine) -> bool:
        machine.kill()
        return True

    def _kill_gcs(self) -> bool:
        for process in self.head.processes("/gcs_server "):
            process.kill()
        return True

    def _cut(self) -> bool:
        machine = self._any()
        machine.space.disconnect()
        time.sleep(self._rng.uniform(0.1, _NETWORK_S))
        machine.space.reconnect()
        return True

    def _cut_for_long(self) -> bool:
        """Cut a node off until it is dead to the head. It hears that afterwards, and ends."""
        node, begin = self._rng.choice(self.nodes), time.monotonic()
        node.space.disconnect()
        time.sleep(10)
        node.space.reconnect()
        while node.alive:
            assert time.monotonic() - begin < _GIVEN_UP_S, "a node that was cut off does not end"
            time.sleep(0.2)
        return True

    def _lose_packets(self) -> bool:
        machine = self._any()
        machine.space.drop_packets(0.2)
        time.sleep(self._rng.uniform(0.1, _NETWORK_S))
        machine.space.drop_none()
        return True

    def _slow_down(self) -> bool:
        machine = self._any()
        machine.space.slow_down("256kbit")
        time.sleep(self._rng.uniform(0.1, _NETWORK_S))
        machine.space.speed_up()
        return True

    def _set_clock(self) -> bool:
        self._any().set_clock(self._rng.uniform(-_CLOCK_S, _CLOCK_S))
        return True


@contextmanager
def connected_machines(nodes: int, folder: Path, rng: random.Random) -> Iterator[Machines]:
    """Yield a head and nodes without Ray. folder: of Ray's files; its path has to be short."""
    machines = Machines(nodes, folder, rng)
    try:
        machines.connect()
        yield machines
    finally:
        machines.close()
