"""Measure the latency of a torch module on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from predictor.errors import AIOPError, one_line
from workers.errors import LatencyError
from workers.latency.allocator import keep_freed_memory
from workers.latency.machine import available_cpus, cpu_name, gpu_name, load_average
from workers.latency.modes import Run, build_run
from workers.latency.settings import LatencySettings
from workers.latency.timing import Clock, RunPlan, RunTimes, Timing, time_runs

METRIC = "latency_ms"
_BUSY_SPREAD = 0.2  # beyond, other processes or a changing clock rate disturbed the runs

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_SEED = 0  # of the images


@dataclass(frozen=True, slots=True)
class Latency:
    """A measured latency, in milliseconds for a batch.

    device_name: as its maker writes it. load: processes that wanted a CPU before the measurement, NaN if unknown.
    """

    timing: Timing
    settings: LatencySettings
    device_name: str
    load: float

    @property
    def data(self) -> str:
        """The name of the data set that labels of this device and these settings form."""
        return self.settings.data_name(self.device_name)

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers of the measurement by name, for the label's row."""
        timing, settings = self.timing, self.settings
        threads = {} if settings.threads is None else {"threads": float(settings.threads)}
        return {
            METRIC: timing.median_ms,
            "spread": timing.spread,
            "wall_ms": timing.wall_ms,
            "repeats": float(timing.runs),
            "rounds": float(timing.rounds),
            "warm_up": float(timing.warm_up),
            "batch": float(settings.batch),
            "load": self.load,
            **threads,
        }


def is_busy(metrics: Mapping[str, float]) -> bool:
    """Whether other processes may have changed the result. metrics: of a measured latency.

    Several threads wait for the one that is interrupted, so that they need an idle machine.
    """
    waiting = metrics.get("threads", 1) > 1 and metrics["load"] > available_cpus() + 0.5
    return waiting or metrics["spread"] > _BUSY_SPREAD


def device_name(settings: LatencySettings) -> str:
    """Return the name of the device. Raises LatencyError if this machine does not have it."""
    if settings.on_cpu:
        return cpu_name()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(settings.device.partition(":")[2] or 0)
    if not count:
        raise LatencyError(
            f"--device {settings.device}: torch finds no GPU on this machine: choose --device cpu, or install torch "
            "with CUDA and a driver"
        )
    if number >= count:
        raise LatencyError(f"--device {settings.device}: this machine has cuda:0 to cuda:{count - 1}: choose one")
    if settings.precision == "bf16" and not torch.cuda.is_bf16_supported():
        raise LatencyError(f"--precision bf16: {gpu_name(settings.device)} does not support it: choose fp16 or fp32")
    return gpu_name(settings.device)


class LatencyProbe:
    """Measures a network with real weights in one or several rounds, between which other networks may be measured.

    At one thread of a CPU, the time that counts is the CPU time of that thread, which does not pass while the system
    runs other processes; otherwise it is wall time. On a GPU a run lasts until all its kernels have ended.
    """

    def __init__(self, network: nn.Module, input_size: tuple[int, int, int], settings: LatencySettings) -> None:
        """input_size: channels, height and width; images are random. Raises LatencyError if the device is missing."""
        self._network, self._input_size, self._settings = network, input_size, settings
        self._device_name, self._load = device_name(settings), load_average()
        self._run: Run | None = None
        self._rounds: list[RunTimes] = []

    def measure_round(self, rounds: int = 1) -> None:
        """Measure the share of one of `rounds`. The first moves the network to the device and casts it.

        Raises LatencyError for whatever the network raises.
        """
        settings = self._settings
        keep_freed_memory()
        whole = RunPlan(settings.warm_up, settings.repeats, settings.seconds)
        plan = whole.share(rounds, first=self._run is None)
        with _as_latency_error(settings), _torch_settings(settings), torch.inference_mode():
            if self._run is None:
                self._run = build_run(*_prepared(self._network, self._input_size, settings), settings)
            self._rounds.append(time_runs(self._run, plan, _cost_clock(settings)))

    def latency(self) -> Latency:
        """Return the latency over all rounds, of which there must be one."""
        return Latency(Timing.of(self._rounds), self._settings, self._device_name, self._load)


def measure_latency(network: nn.Module, input_size: tuple[int, int, int], settings: LatencySettings) -> Latency:
    """Return the latency of a network, measured in one round. See `LatencyProbe`."""
    probe = LatencyProbe(network, input_size, settings)
    probe.measure_round()
    return probe.latency()


def _prepared(
    network: nn.Module, input_size: tuple[int, int, int], settings: LatencySettings
) -> tuple[nn.Module, Tensor]:
    """Return the network and random images on the device, in the precision and the memory format of the settings.

    Channels last is faster on GPUs at half precision, where tensor cores need it.
    """
    dtype = _DTYPES[settings.precision]
    images = torch.rand((settings.batch, *input_size), generator=torch.Generator().manual_seed(_SEED))
    channels_last = not settings.on_cpu and settings.precision != "fp32"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.eval().to(settings.device, dtype).to(memory_format=layout)
    return network, images.to(settings.device, dtype, memory_format=layout)


def _cost_clock(settings: LatencySettings) -> Clock:
    """Return the clock that counts. With one thread all work is done by the thread that calls."""
    return time.thread_time if settings.on_cpu and settings.threads == 1 else time.perf_counter


@contextmanager
def _torch_settings(settings: LatencySettings) -> Iterator[None]:
    """Set the number of threads, and let cuDNN choose the fastest kernels; both as before at the end.

    Activations of untrained weights may be denormal numbers, with which CPUs are slow: these are 0 meanwhile.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    torch.set_flush_denormal(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@contextmanager
def _as_latency_error(settings: LatencySettings) -> Iterator[None]:
    """Raise LatencyError instead of whatever a network, a compiler or an exporter raises."""
    try:
        yield
    except AIOPError:
        raise
    except torch.OutOfMemoryError:
        raise LatencyError(f"does not fit into {settings.device} with --batch {settings.batch}: lower it") from None
    except Exception as error:
        raise LatencyError(
            f"cannot run with --device {settings.device} --precision {settings.precision} --mode {settings.mode} "
            f"({type(error).__name__}: {one_line(error)}): choose others"
        ) from error
