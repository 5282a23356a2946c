"""How a network runs: each mode makes a function that runs it once and returns when the outputs are there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from workers.latency.settings import LatencySettings

Run = Callable[[], object]


def build_run(network: nn.Module, images: Tensor, settings: LatencySettings) -> Run:
    """Return the function that runs `network` on `images` once. Both are on the device and in evaluation mode."""
    return _MODES[settings.mode](network, images, settings)


def _eager(network: nn.Module, images: Tensor, settings: LatencySettings) -> Run:
    return _on_device(network, images)


def _compiled(network: nn.Module, images: Tensor, settings: LatencySettings) -> Run:
    """The first call compiles, which may take minutes."""
    torch.compiler.reset()  # code of the networks before would count towards the limit of recompilations
    return _on_device(torch.compile(network, dynamic=False), images)


def _on_device(network: Callable[[Tensor], object], images: Tensor) -> Run:
    if images.device.type == "cpu":
        return lambda: network(images)

    def run() -> None:
        network(images)
        torch.cuda.synchronize(images.device)  # kernels run after the call has returned

    return run


def _onnxruntime(network: nn.Module, images: Tensor, settings: LatencySettings) -> Run:
    """Export the network into a temporary file and open it with ONNX Runtime, with all its optimisations."""
    import onnxruntime  # type: ignore[import-not-found, unused-ignore]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        torch.onnx.export(network, (images,), str(path), dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, inputs)


_MODES: Mapping[str, Callable[[nn.Module, Tensor, LatencySettings], Run]] = {
    "eager": _eager,
    "compiled": _compiled,
    "onnxruntime": _onnxruntime,
}
