"""Measure the latency of a torch module on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from predictor.errors import AIOPError, one_line
from workers.errors import LatencyError
from workers.latency.machine import cpu_name, gpu_name, load_average
from workers.latency.modes import build_run
from workers.latency.settings import LatencySettings
from workers.latency.timing import Clock, RunPlan, Timing, time_runs

METRIC = "latency_ms"
BUSY_SPREAD = 0.2  # a spread beyond which the machine was busy, or its clock rate changed

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
            "warm_up": float(timing.warm_up),
            "batch": float(settings.batch),
            "load": self.load,
            **threads,
        }


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


def measure_latency(network: nn.Module, input_size: tuple[int, int, int], settings: LatencySettings) -> Latency:
    """Return the latency of a network with real weights, which is moved to the device and cast.

    input_size: channels, height and width; images are random. At one thread of a CPU, the time that counts is the CPU
    time of that thread, which does not pass while the system runs other processes; otherwise it is wall time. On a GPU
    a run lasts until all its kernels have ended.

    Raises LatencyError if the device is missing, or whatever the network raises.
    """
    name, load = device_name(settings), load_average()
    plan = RunPlan(settings.warm_up, settings.repeats, settings.seconds)
    with _as_latency_error(settings), _torch_settings(settings), torch.inference_mode():
        network, images = _prepared(network, input_size, settings)
        timing = time_runs(build_run(network, images, settings), plan, _cost_clock(settings))
    return Latency(timing, settings, name, load)


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
