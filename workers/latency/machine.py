"""What this machine is: the names of its devices, the cores that this process may use, and how busy it is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/{}"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU time per period


def cpu_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of the processor's model, or of its architecture if the system does not tell."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fields = (line.partition(":") for line in lines)
    names = [value.strip() for name, _, value in fields if name.strip().lower() in ("model name", "hardware")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def gpu_name(device: str) -> str:
    """Return the name of a GPU. device: cuda or cuda:N."""
    import torch  # only where a GPU is measured

    return str(torch.cuda.get_device_name(device))


def available_cpus() -> int:
    """Return the number of logical CPUs that this process may use, at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _quota(_QUOTA) or cpus))


def available_cores() -> int:
    """Return the number of physical cores that this process may use, at least 1: two threads of a core count once."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {(_topology(cpu, "physical_package_id"), _topology(cpu, "core_id")) for cpu in allowed}
    return min(len(cores), available_cpus())


def load_average() -> float:
    """Return how many processes wanted a CPU in the last minute, on average; NaN if the system does not tell."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return float("nan")


def _topology(cpu: int, name: str) -> str:
    """Return a number of the core of a logical CPU; where it is unknown, the CPU counts as a core."""
    try:
        return Path(_TOPOLOGY.format(cpu, name)).read_text().strip()
    except OSError:
        return f"cpu {cpu}"


def _quota(path: Path) -> int | None:
    """Return the whole CPUs of a container's limit, at least 1; None if there is none."""
    try:
        used, period = path.read_text().split()
        return None if used == "max" else max(1, int(used) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
