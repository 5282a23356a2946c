"""A test cluster of three simulated machines: network namespaces, each with its own processes, home, /tmp and sshd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import yaml

from tests.support.network_spaces import Bridge, NetworkSpace, shell

ROOT = Path(__file__).parents[2]
SHARED = "/mnt"  # the mount point of the shared folder on every machine
_BRIDGE = Bridge("aiop", subnet=77)
HOST = _BRIDGE.host  # this machine's address on the bridge
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


def missing_requirements() -> str:
    """Return why the test cluster cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    tools = ("ip", "unshare", "rsync", "ssh", "ssh-keygen", "/usr/sbin/sshd", "curl")
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    return (
        f"not installed: {', '.join(lacking)} (apt-get install openssh-server rsync iproute2 curl)" if lacking else ""
    )


class Machine:
    """A simulated machine. Its home directory is the folder `home`/root of the real one."""

    def __init__(self, number: int, home: Path, shared: Path) -> None:
        self.number, self.home, self._shared = number, home, shared
        self.space = NetworkSpace(_BRIDGE, number)
        self.address = self.space.address
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Connect the machine to the bridge and start its sshd."""
        self.space.start()
        keep = "\n".join(self._mount_command(path) for path in (Path(sys.prefix), Path(sys.base_prefix)))
        script = self.home / "init.sh"
        script.write_text(
            _INIT.format(number=self.number, home=self.home, keep=keep, shared=self._shared, mounted=SHARED)
        )
        enter = [
            "ip",
            "netns",
            "exec",
            self.space.name,
            "unshare",
            "--mount",
            "--uts",
            "--pid",
            "--fork",
            "--kill-child=KILL",
        ]
        log = (self.home / "init.log").open("wb")
        # Variables of a Ray that runs on the real machine must not reach the simulated ones.
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        self._process = subprocess.Popen([*enter, "bash", "-e", str(script)], stdout=log, stderr=log, env=clean)

    def kill(self) -> None:
        """Kill all processes of the machine with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log_lines(self, part: str) -> list[str]:
        """Return the log lines of the machine's Ray workers that contain `part`."""
        logs = (self.home / "tmp" / "ray").glob("session_2*/logs/worker-*.err")
        return [line for log in logs for line in log.read_text(errors="replace").splitlines() if part in line]

    def _mount_command(self, path: Path) -> str:
        """Return shell commands that mount a folder below /root or /tmp, of which the machine has its own."""
        for private in ("/root/", "/tmp/"):
            if str(path).startswith(private):
                target = f"{self.home}/{private.strip('/')}/{str(path).removeprefix(private)}"
                return f"mkdir -p {target}; mount --rbind {path} {target}"
        return ""


class RunningCommand:
    """A command of the user that may still be running."""

    def __init__(self, process: subprocess.Popen[bytes], out: IO[str]) -> None:
        self._process, self._out = process, out

    @property
    def finished(self) -> bool:
        """Whether the command has ended."""
        return self._process.poll() is not None

    def wait(self, timeout: float = 600) -> tuple[int, str]:
        """Wait for the end; return exit code and output. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._out.seek(0)
        return self._process.returncode, self._out.read()


class Rig:
    """A checkout, three machines that can install it without a package registry, and the commands of a user."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shared = folder, folder / "shared"
        self.machines = [Machine(number, folder / f"machine{number}", self.shared) for number in (1, 2, 3)]
        self._home = folder / "home"
        self.checkout = folder / "checkout"
        self.yaml = self.checkout / "cluster" / "rig.yaml"

    def start(self) -> None:
        """Start the machines and wait until every sshd answers."""
        self.close()  # remove what a killed run has left
        for path in (self.shared, self._home / ".ray"):
            path.mkdir(parents=True)
        _copy_checkout(self.checkout)
        shell(f"ssh-keygen -q -t ed25519 -N '' -f {self._home}/key")
        _BRIDGE.start()
        for machine in self.machines:
            _prepare_home(machine, self._home / "key.pub")
            machine.start()
        self.run("ray", "get-auth-token", "--generate")
        self.yaml.write_text(yaml.safe_dump(self._cluster_config()))
        for machine in self.machines:
            self._wait_for(machine)

    def close(self) -> None:
        """End all processes and remove namespaces, links and the bridge."""
        for machine in self.machines:
            machine.kill()
            machine.space.close()
        _BRIDGE.close()

    def run(self, *command: str, timeout: float = 600) -> str:
        """Run a command in the checkout and return its output. Raises AssertionError with the output if it fails."""
        code, out = self.start_command(*command).wait(timeout)
        assert code == 0, f"{' '.join(command)}: exit code {code}\n{out[-6000:]}"
        return out

    def start_command(self, *command: str) -> RunningCommand:
        """Start a command in the checkout."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = clean | {"HOME": str(self._home), "PATH": path, "RAY_AUTH_MODE": "token"}
        # A file, because a full pipe would block the command until it is read.
        out = tempfile.TemporaryFile("w+", dir=self.folder, errors="replace")  # noqa: SIM115 - the command writes it
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT}
        return RunningCommand(subprocess.Popen(command, cwd=self.checkout, env=environment, **streams), out)

    def ssh(self, machine: int, command: str) -> str:
        """Run a command by SSH on machine 1, 2 or 3, in the environment that `ray up` made. Return its output."""
        return self.run(*self._ssh(self.machines[machine - 1]), f"source ~/.bashrc; {command}")

    def wait_for_nodes(self, count: int) -> None:
        """Wait until `count` machines of one core each have joined the Ray cluster."""
        for _ in range(90):
            status = self.ssh(1, "ray status 2>&1 | cat")
            if f"/{count}.0 CPU" in status:
                return
            time.sleep(2)
        raise AssertionError(f"fewer than {count} nodes have joined:\n{status}")

    def _ssh(self, machine: Machine) -> list[str]:
        quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return ["ssh", "-i", f"{self._home}/key", *quiet, f"root@{machine.address}"]

    def _wait_for(self, machine: Machine) -> None:
        for _ in range(100):
            if self.start_command(*self._ssh(machine), "true").wait(60)[0] == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"no sshd on {machine.address}: {(machine.home / 'init.log').read_text()}")

    def _cluster_config(self) -> dict[str, Any]:
        """Return the shipped YAML edited as a user would, for small machines without access to a package registry."""
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


def _prepare_home(machine: Machine, key: Path) -> None:
    """Make home, sshd's configuration, and a virtual environment with all packages except this project."""
    for name in ("root/.ssh", "run/sshd", "tmp"):
        (machine.home / name).mkdir(parents=True)
    (machine.home / "tmp").chmod(0o1777)
    root = machine.home / "root"
    shutil.copy(key, root / ".ssh" / "authorized_keys")
    shell(f"ssh-keygen -q -t ed25519 -N '' -f {root}/.ssh/host")
    (root / "sshd_config").write_text(_SSHD.format(address=machine.address))
    (root / ".bashrc").write_text("")
    venv = root / "aiop-venv"
    shell(f"{sys.executable} -m venv --without-pip {venv}")
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
