"""How a latency is measured. Checked without torch, so that a wrong option is reported at once."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from workers.errors import LatencyError
from workers.latency.machine import available_cores, available_cpus

PRECISIONS = ("fp32", "fp16", "bf16")
MODES = ("eager", "compiled", "onnxruntime")
WARM_UP, REPEATS, SECONDS = 10, 200, 30.0  # defaults
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")
_ONNX_PACKAGES = ("onnxruntime", "onnx", "onnxscript")  # of which onnxscript exports
_LEAST_REPEATS = 5  # fewer say nothing about the spread


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """Settings of a measurement; LatencyError names the remedy for those that do not fit together.

    device: cpu, cuda or cuda:N. batch: images at once. threads: of the CPU; the physical cores if None, and always None
    on a GPU. warm_up: runs before the first that counts; more follow until times are stable. repeats: runs that count.
    seconds: wall time after which no further run starts, once `_LEAST_REPEATS` are done.
    """

    device: str = "cpu"
    batch: int = 1
    precision: str = "fp32"
    threads: int | None = None
    mode: str = "eager"
    warm_up: int = WARM_UP
    repeats: int = REPEATS
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise LatencyError(f"--device '{self.device}': write cpu, cuda or cuda:N")
        for name, value, known in (("precision", self.precision, PRECISIONS), ("mode", self.mode, MODES)):
            if value not in known:
                raise LatencyError(f"--{name} '{value}': choose one of {', '.join(known)}")
        least = {"batch": 1, "warm_up": 0, "repeats": _LEAST_REPEATS}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise LatencyError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least {lowest}")
        if not 0 < self.seconds < float("inf"):
            raise LatencyError(f"--seconds {self.seconds:g}: must be a positive number")
        self._check_threads()
        self._check_mode()

    def _check_threads(self) -> None:
        if not self.on_cpu:
            if self.threads is not None:
                raise LatencyError(f"--threads {self.threads}: are of the CPU: leave them out with --device cuda")
            return
        cpus = available_cpus()
        if self.threads is None:
            object.__setattr__(self, "threads", available_cores())
        elif not 1 <= self.threads <= cpus:
            raise LatencyError(f"--threads {self.threads}: this process may use {cpus}: choose from 1 to {cpus}")

    def _check_mode(self) -> None:
        if self.precision == "fp16" and self.on_cpu:
            raise LatencyError("--precision fp16: is for GPUs: choose fp32 or bf16, or add --device cuda")
        if self.mode != "onnxruntime":
            return
        if not self.on_cpu or self.precision != "fp32":
            raise LatencyError(
                f"--mode onnxruntime: runs with --device cpu and --precision fp32 only, not {self.device} and "
                f"{self.precision}: choose these, or --mode compiled"
            )
        if missing := [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]:
            raise LatencyError(
                f"--mode onnxruntime: needs {', '.join(missing)}: pip install 'aiop-orchestrator[onnxruntime]', "
                "or choose --mode eager or compiled"
            )

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the CPU."""
        return self.device == "cpu"

    def data_name(self, device_name: str) -> str:
        """Return the name of the data set of labels that are measured so: labels of one device can be compared.

        device_name: as its maker writes it. It does not depend on warm-up and repeats.
        """
        kind = "cpu" if self.on_cpu else "cuda"
        threads = [f"threads{self.threads}"] if self.on_cpu else []
        return "/".join([f"{kind}:{_slug(device_name)}", *threads, f"batch{self.batch}", self.precision, self.mode])


def _slug(text: str) -> str:
    """Return the words of a device's name in lower case, without trade marks and clock rates, joined by hyphens."""
    plain = re.sub(r"\((r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*", " ", text.lower())
    return "-".join(re.findall(r"[a-z0-9.]+", plain)) or "unknown"


def campaign_settings(device: str) -> LatencySettings:
    """Return the settings with which workers measure what they label: one image in fp32, on a CPU at one thread.

    The other cores of the machine are busy with labels. Raises LatencyError for an unknown device.
    """
    return LatencySettings(device, threads=1 if device == "cpu" else None)
