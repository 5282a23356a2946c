"""Three machines in one: network namespaces on a bridge, each with its own processes, home, /tmp and sshd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import yaml

ROOT = Path(__file__).parents[2]
HOST = "10.77.0.254"  # this machine's address on the bridge
SHARED = "/mnt"  # where every machine has the same folder
_BRIDGE = "aiopbr0"
_INIT = """
hostname node{number}; mount --make-rprivate /
{keep}
mount --rbind {home}/root /root; mount --bind {home}/run /run; mount --bind {shared} {mounted}
mount -t tmpfs -o size=512m tmpfs /dev/shm; mount --rbind {home}/tmp /tmp; mount -t proc proc /proc
exec /usr/sbin/sshd -D -f /root/sshd_config
"""
_SSHD = """
Port 22
ListenAddress {address}
HostKey /root/.ssh/host
AuthorizedKeysFile /root/.ssh/authorized_keys
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PidFile none
"""


def missing() -> str:
    """Why there can be no rig here; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    tools = ("ip", "unshare", "rsync", "ssh", "ssh-keygen", "/usr/sbin/sshd", "curl")
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    return (
        f"not installed: {', '.join(lacking)} (apt-get install openssh-server rsync iproute2 curl)" if lacking else ""
    )


class Machine:
    """One of them. Its home is `home`/root on this machine."""

    def __init__(self, number: int, home: Path, shared: Path) -> None:
        self.number, self.home, self.address = number, home, f"10.77.0.{number}"
        self._shared = shared
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Plug it in and start its sshd."""
        space, link = f"aiop{self.number}", f"aiopv{self.number}"
        for command in (
            f"ip netns add {space}",
            f"ip link add {link} type veth peer name eth0 netns {space}",
            f"ip link set {link} master {_BRIDGE} up",
            f"ip -n {space} addr add {self.address}/24 dev eth0",
            f"ip -n {space} link set eth0 up",
            f"ip -n {space} link set lo up",
            f"ip -n {space} route add default via {HOST}",
        ):
            _sh(command)
        keep = "\n".join(self._keep(path) for path in (Path(sys.prefix), Path(sys.base_prefix)))
        script = self.home / "init.sh"
        script.write_text(
            _INIT.format(number=self.number, home=self.home, keep=keep, shared=self._shared, mounted=SHARED)
        )
        enter = ["ip", "netns", "exec", space, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child=KILL"]
        log = (self.home / "init.log").open("wb")
        # Programs here may have a Ray of their own, which machines must not take for theirs.
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        self._process = subprocess.Popen([*enter, "bash", "-e", str(script)], stdout=log, stderr=log, env=clean)

    def kill(self) -> None:
        """kill -9 of all that runs on it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def cut_off(self, cut: bool) -> None:
        """Pull its network cable, or plug it in again."""
        _sh(f"ip link set aiopv{self.number} {'down' if cut else 'up'}")

    def log_lines(self, part: str) -> list[str]:
        """Lines of its Ray workers that contain `part`."""
        logs = (self.home / "tmp" / "ray").glob("session_2*/logs/worker-*.err")
        return [line for log in logs for line in log.read_text(errors="replace").splitlines() if part in line]

    def _keep(self, path: Path) -> str:
        """Shell lines that show a folder below /root or /tmp to a machine that has its own of these."""
        for own in ("/root/", "/tmp/"):
            if str(path).startswith(own):
                place = f"{self.home}/{own.strip('/')}/{str(path).removeprefix(own)}"
                return f"mkdir -p {place}; mount --rbind {path} {place}"
        return ""


class Running:
    """A command of the user that goes on."""

    def __init__(self, process: subprocess.Popen[bytes], out: IO[str]) -> None:
        self._process, self._out = process, out

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def end(self, timeout: float = 600) -> tuple[int, str]:
        """Exit code and output, once it has ended."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._out.seek(0)
        return self._process.returncode, self._out.read()


class Rig:
    """A checkout, three machines that can install it without a network, and the commands of a user."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shared = folder, folder / "shared"
        self.machines = [Machine(number, folder / f"machine{number}", self.shared) for number in (1, 2, 3)]
        self._home = folder / "home"
        self.checkout = folder / "checkout"
        self.yaml = self.checkout / "cluster" / "rig.yaml"

    def start(self) -> None:
        """All of it, until every machine answers."""
        self.close()  # what a killed run has left
        for path in (self.shared, self._home / ".ray"):
            path.mkdir(parents=True)
        _copy_checkout(self.checkout)
        _sh(f"ssh-keygen -q -t ed25519 -N '' -f {self._home}/key")
        _sh(f"ip link add {_BRIDGE} type bridge; ip addr add {HOST}/24 dev {_BRIDGE}; ip link set {_BRIDGE} up")
        for machine in self.machines:
            _furnish(machine, self._home / "key.pub")
            machine.start()
        self.run("ray", "get-auth-token", "--generate")
        self.yaml.write_text(yaml.safe_dump(self._edited()))
        for machine in self.machines:
            self._wait_for(machine)

    def close(self) -> None:
        """End every process and take down what was put up."""
        for machine in self.machines:
            machine.kill()
        for number in (1, 2, 3):
            for command in (f"ip link del aiopv{number}", f"ip netns del aiop{number}"):
                with suppress(subprocess.CalledProcessError):
                    _sh(command)
        with suppress(subprocess.CalledProcessError):
            _sh(f"ip link del {_BRIDGE}")

    def run(self, *command: str, timeout: float = 600) -> str:
        """A command of the user in the checkout; its output. Raises AssertionError with that where it fails."""
        code, out = self.begin(*command).end(timeout)
        assert code == 0, f"{' '.join(command)}: exit code {code}\n{out[-6000:]}"
        return out

    def begin(self, *command: str) -> Running:
        """The same, still running."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = clean | {"HOME": str(self._home), "PATH": path, "RAY_AUTH_MODE": "token"}
        # A file rather than a pipe, which fills up where nobody reads meanwhile, and then holds up the command.
        out = tempfile.TemporaryFile("w+", dir=self.folder, errors="replace")  # noqa: SIM115 - the command writes it
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT}
        return Running(subprocess.Popen(command, cwd=self.checkout, env=environment, **streams), out)

    def ssh(self, machine: int, command: str) -> str:
        """A command on a machine, 1 to 3, as `ray up` left it."""
        return self.run(*self._ssh(self.machines[machine - 1]), f"source ~/.bashrc; {command}")

    def wait_for_nodes(self, count: int) -> None:
        """Until so many machines, of one core each, have joined."""
        for _ in range(90):
            said = self.ssh(1, "ray status 2>&1 | cat")
            if f"/{count}.0 CPU" in said:
                return
            time.sleep(2)
        raise AssertionError(f"{count} nodes are not there:\n{said}")

    def _ssh(self, machine: Machine) -> list[str]:
        quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return ["ssh", "-i", f"{self._home}/key", *quiet, f"root@{machine.address}"]

    def _wait_for(self, machine: Machine) -> None:
        for _ in range(100):
            if self.begin(*self._ssh(machine), "true").end(60)[0] == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"no sshd on {machine.address}: {(machine.home / 'init.log').read_text()}")

    def _edited(self) -> dict[str, Any]:
        """The shipped YAML as a user would edit it, but for small machines that reach no package registry."""
        text = (self.checkout / "cluster" / "cluster.yaml").read_text()
        edits = {
            "pip install --quiet": "pip install --quiet --no-index --no-deps --no-build-isolation",
            "ray start ": "ray start --num-cpus=1 --object-store-memory=100000000 ",
        }
        for before, after in edits.items():
            assert before in text
            text = text.replace(before, after)
        config: dict[str, Any] = yaml.safe_load(text)
        head, *workers = (machine.address for machine in self.machines)
        config["provider"] |= {"head_ip": head, "worker_ips": workers}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": f"{self._home}/key"}
        return config


def _furnish(machine: Machine, key: Path) -> None:
    """Home, sshd's configuration, and a virtual environment that has all packages but this project."""
    for name in ("root/.ssh", "run/sshd", "tmp"):
        (machine.home / name).mkdir(parents=True)
    (machine.home / "tmp").chmod(0o1777)
    root = machine.home / "root"
    shutil.copy(key, root / ".ssh" / "authorized_keys")
    _sh(f"ssh-keygen -q -t ed25519 -N '' -f {root}/.ssh/host")
    (root / "sshd_config").write_text(_SSHD.format(address=machine.address))
    (root / ".bashrc").write_text("")
    venv = root / "aiop-venv"
    _sh(f"{sys.executable} -m venv --without-pip {venv}")
    packages = next((venv / "lib").glob("python*/site-packages"))
    (packages / "rig.pth").write_text(sysconfig.get_path("purelib"))
    for name, module in (("ray", "ray.scripts.scripts"), ("pip", "pip._internal.cli.main")):
        script = venv / "bin" / name
        script.write_text(f"#!/root/aiop-venv/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(0o755)


def _copy_checkout(target: Path) -> None:
    files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def _sh(command: str) -> None:
    subprocess.run(["bash", "-ec", textwrap.dedent(command)], check=True, capture_output=True)
