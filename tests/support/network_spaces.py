"""Network namespaces that a bridge connects, as a network connects machines. They need root and `ip`."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path


class Bridge:
    """A bridge of this machine, which has the last address on it. name: prefix of all interfaces and namespaces."""

    def __init__(self, name: str, subnet: int) -> None:
        self.name, self.subnet = name, subnet
        self.host = f"10.{subnet}.0.254"

    def start(self) -> None:
        """Create the bridge."""
        bridge = f"{self.name}br0"
        for command in (f"add {bridge} type bridge", f"set {bridge} up"):
            shell(f"ip link {command}")
        shell(f"ip addr add {self.host}/24 dev {bridge}")

    def close(self) -> None:
        """Remove the bridge, if it is there."""
        with suppress(subprocess.CalledProcessError):
            shell(f"ip link del {self.name}br0")


class NetworkSpace:
    """A network namespace with an address on a bridge."""

    def __init__(self, bridge: Bridge, number: int) -> None:
        self.name, self._link, self._bridge = f"{bridge.name}{number}", f"{bridge.name}v{number}", bridge
        self.address = f"10.{bridge.subnet}.0.{number}"

    def start(self) -> None:
        """Create the namespace and connect it."""
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {self._link} type veth peer name eth0 netns {self.name}",
            f"ip link set {self._link} master {self._bridge.name}br0 up",
            f"ip -n {self.name} addr add {self.address}/24 dev eth0",
            f"ip -n {self.name} link set eth0 up",
            f"ip -n {self.name} link set lo up",
            f"ip -n {self.name} route add default via {self._bridge.host}",
        ):
            shell(command)

    def close(self) -> None:
        """Remove the namespace, if it is there. It lasts until its last process has ended."""
        for command in (f"ip link del {self._link}", f"ip netns del {self.name}"):
            with suppress(subprocess.CalledProcessError):
                shell(command)

    def disconnect(self) -> None:
        """Take the namespace off the network."""
        shell(f"ip link set {self._link} down")

    def reconnect(self) -> None:
        """Undo `disconnect`."""
        shell(f"ip link set {self._link} up")

    def slow_down(self, rate: str) -> None:
        """Deliver to the namespace at a rate, `1mbit` say, and drop what waits for longer than 400 ms."""
        shell(f"tc qdisc add dev {self._link} root tbf rate {rate} burst 32kbit latency 400ms")

    def speed_up(self) -> None:
        """Undo `slow_down`."""
        shell(f"tc qdisc del dev {self._link} root")

    def drop_packets(self, share: float) -> None:
        """Drop a share of the packets that reach the namespace, at random. Needs `iptables`."""
        shell(f"ip netns exec {self.name} iptables -A INPUT -m statistic --mode random --probability {share} -j DROP")

    def drop_none(self) -> None:
        """Undo `drop_packets`."""
        shell(f"ip netns exec {self.name} iptables -F INPUT")

    def processes(self) -> list[int]:
        """Return the ids of all processes in the namespace."""
        here, found = os.stat(f"/run/netns/{self.name}").st_ino, list[int]()
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and (folder / "ns" / "net").stat().st_ino == here:
                    found.append(int(folder.name))
        return found


def shell(command: str) -> None:
    """Run a command in bash. Raises CalledProcessError with its output."""
    subprocess.run(["bash", "-ec", command], check=True, capture_output=True)
