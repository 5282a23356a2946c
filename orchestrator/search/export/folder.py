"""Write a labelled network to a folder: what it is, a Python file, an ONNX file and its trained weights."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from orchestrator.errors import ConfigError
from orchestrator.search.export.standalone import PlainNetwork, export_program, standalone_source
from predictor.atomic_write import write_folder
from predictor.cost import measure_cost
from predictor.errors import one_line
from workers.data import open_data
from workers.detectors.head import DetectorHead
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.fidelity import get_fidelity
from workers.messages.label import LabelJob, LabelRequest
from workers.storage.checkpoints import open_checkpoints
from workers.tasks import get_task
from workers.training.full import Network, build_network

_TOLERANCE = 1e-5  # of the outputs of the written file, relative to the largest
_ONNX_PACKAGES = ("onnx", "onnxscript")
_ONNX_VERSION = 18


def check_new_folder(folder: Path) -> None:
    """Raise ConfigError if a folder cannot be created."""
    if folder.exists():
        raise ConfigError(f"--export {folder}: exists already: name a new folder")
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not parent.is_dir():
        raise ConfigError(f"--export {folder}: {parent} is not a folder: name a new folder")


def export_network(
    folder: Path,
    request: LabelRequest,
    options: EvaluatorOptions,
    facts: Mapping[str, Any],
    notify: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the network of a label with its trained weights. The Python file is run and compared before it is written.

    request: of a fidelity that trains. options: where its weights are; if they were not kept, it is trained once more,
    which gives the same weights on the same machine. facts: what else to write about it.

    Raises ConfigError if the network cannot be exported or the folder cannot be written.
    """
    network = _trained(request, options, notify)
    image = request.recipe.input_size
    head = network.head.whole() if isinstance(network.head, DetectorHead) else network.head
    plain = PlainNetwork(network.body, head, network.normalise.mean, network.normalise.std).eval()
    program = export_program(plain, image)
    architecture = request.architecture
    title = f"{architecture.space} {architecture.genotype} for {request.task}"
    source, weights = standalone_source(program, image, title)
    _compare(source, weights, plain, image)
    cost = measure_cost(plain, (3, *image))
    description = {
        "space": architecture.space,
        "genotype": architecture.values,
        "architecture": architecture.id,
        "task": request.task,
        "data": request.data,
        "fidelity": request.fidelity,
        "seed": request.seed,
        "input_size": list(image),
        "flops": cost.flops,
        "params": cost.params,
        "recipe": request.recipe.model_dump(mode="json"),
        **facts,
    }
    files = {
        "network.json": (json.dumps(description, indent=1) + "\n").encode(),
        "network.py": source.encode(),
        "weights.safetensors": safetensors.torch.save(weights),
    }
    if missing := [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]:
        notify(f"no ONNX file: it needs {', '.join(missing)}: pip install 'aiop-orchestrator[onnxruntime]'")
    else:
        files["network.onnx"] = _onnx(plain, image)
    try:
        write_folder(folder, files)
    except OSError as error:
        raise ConfigError(f"--export {folder}: cannot be written ({error.strerror or error}): name another") from None
    notify(f"written: {', '.join(files)} in {folder}")


def _trained(request: LabelRequest, options: EvaluatorOptions, notify: Callable[[str], None]) -> Network:
    """Return the label's network on the CPU, with its weights."""
    if options.weights_uri is None:
        raise ConfigError("--export: the store has no place for weights: use another --store")
    kept = open_checkpoints(options.weights_uri)
    found = kept.load(request.key)
    if found is None:
        from workers.execution.evaluators import build_evaluator

        notify("the weights of the winner were not kept: training it once more")
        build_evaluator(get_fidelity(request.fidelity).evaluator, options)(LabelJob(request, "export"))
        found = kept.load(request.key)
    if found is None:
        raise ConfigError(f"--export: the weights of label {request.key} cannot be kept: check the store's space")
    task = get_task(request.task)
    network = build_network(
        request.architecture, request.recipe, task, open_data(request.data, task.name).vocabulary(task.name)
    )
    network.load_state_dict(dict(found.tensors))
    return network.eval()


@torch.no_grad()
def _compare(source: str, weights: Mapping[str, Tensor], plain: PlainNetwork, image: tuple[int, int]) -> None:
    """Raise ConfigError unless the written class computes what the network does."""
    names: dict[str, Any] = {}
    exec(compile(source, "network.py", "exec"), names)
    written = names["Network"]().eval()
    written.load_state_dict(weights)
    images = torch.rand(3, 3, *image, generator=torch.Generator().manual_seed(0)) * 255
    wanted, found = (tree_leaves(network(images)) for network in (plain, written))
    for first, second in zip(wanted, found, strict=True):
        scale = max(1.0, float(first.abs().max()))
        if not torch.allclose(first, second, rtol=0, atol=_TOLERANCE * scale):
            raise ConfigError(
                "the network cannot be exported: the written file gives other outputs; report this with its genotype"
            )


def _onnx(plain: PlainNetwork, image: tuple[int, int]) -> bytes:
    """Return the network as ONNX, with the weights inside."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "network.onnx")
        images = torch.zeros(1, 3, *image)
        try:
            torch.onnx.export(
                plain,
                (images,),
                str(path),
                dynamo=True,
                external_data=False,
                opset_version=_ONNX_VERSION,
                verbose=False,
            )
        except Exception as error:  # the exporter may raise anything
            raise ConfigError(f"the network cannot be exported to ONNX ({one_line(error)}): use another head") from None
        return path.read_bytes()
