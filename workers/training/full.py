"""Training from scratch and evaluation: the fidelity `full`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

import torch
from torch import Tensor, nn

from predictor.graph import trace
from workers.data import Vocabulary
from workers.detectors.head import DetectorHead
from workers.errors import DivergedFailure
from workers.messages.architecture import Architecture
from workers.messages.label import LabelJob, LabelRequest, Measurement
from workers.messages.recipe import Recipe
from workers.metrics.base import Metric
from workers.seeding import seed_by
from workers.spaces import get_space
from workers.tasks import Task, get_task
from workers.training.batches import training_batches
from workers.training.depthwise import use_fast_depthwise_backward
from workers.training.loading import CachedSplit, SplitCache
from workers.training.optimization import Optimization
from workers.training.visualizer import PredictionVisualizer

# Small images are evaluated in larger batches than they are trained in: half the calls' overhead, no gradients to keep.
_EVALUATED_PIXELS = 32 * 96 * 128


class Network(nn.Module):
    """A body, a head, and the normalisation of uint8 images."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W), uint8 or float in 0..255, to the body's feature maps."""
        levels: list[Tensor] = self.body(normalised(images))
        return levels

    def forward(self, images: Tensor) -> Any:
        """Images to the head's raw outputs."""
        return self.head(self.pyramid(images))


def normalised(images: Tensor) -> Tensor:
    """uint8 or float in 0..255 to about zero mean and unit deviation."""
    return (images.float() - 118.0) / 60.0


class FullEvaluator:
    """Trains each architecture from scratch, then evaluates it. Keeps decoded data from one label to the next.

    Where the recipe asks for several trainings, the label is the mean of their metrics.
    """

    def __init__(self, pictures: str | None = None, save_images: int = 0) -> None:
        """pictures: folder that gets `save_images` pictures of predictions a label, as TASK-KEY/NUMBER.png."""
        self._pictures, self._save_images = pictures, save_images
        self._splits = SplitCache()

    def __call__(self, job: LabelJob) -> Measurement:
        """The label of `job`. Same request, same numbers on the same machine."""
        request, task = job.request, get_task(job.request.task)
        clock = _Phases()
        data, train, held_out = self._splits.open(request.data, task, request.recipe)
        clock.end("data")
        vocabulary = data.vocabulary(task.name)
        count, recipe = request.recipe.trainings(len(train))
        device, runs, described = device_of(recipe), [], dict[str, Measurement]()
        for number in range(count):
            seeded = replace(request, seed=request.seed * count + number)
            network = build_network(request.architecture, recipe, task, vocabulary)
            self.start(network, seeded, task, vocabulary, train)
            described = described or _described(network, request, task)
            network = network.to(device).to(memory_format=memory_format(recipe, device))
            clock.end("build")
            averaged = train_network(network, task, train, recipe, seeded.seed, job.split)
            clock.end("train")
            meters = {task.name: task.build_metric(vocabulary)} | {
                t: task.build_companion_metric(t, vocabulary) for t in request.also
            }
            album = None if number else self._album(request, task, vocabulary)
            runs.append(evaluate_network(averaged, task, held_out, meters, recipe, album))
            clock.end("evaluate")
        found = {t: _measured(known, [run[t] for run in runs]) for t, known in described.items()}
        also = {t: found[t] for t in request.also}
        return replace(found[task.name], seconds=clock.seconds, also=also)

    def start(
        self, network: Network, request: LabelRequest, task: Task, vocabulary: Vocabulary, train: CachedSplit
    ) -> None:
        """Give the network the weights that training starts from. It comes on the CPU and may be moved."""
        initialise(network, request.seed)

    def _album(self, request: LabelRequest, task: Task, vocabulary: Vocabulary) -> PredictionVisualizer | None:
        if self._pictures is None or not self._save_images:
            return None
        return PredictionVisualizer(
            Path(self._pictures) / f"{task.name}-{request.key}", self._save_images, task, vocabulary
        )


def build_network(architecture: Architecture, recipe: Recipe, task: Task, vocabulary: Vocabulary) -> Network:
    """An architecture's body and a task's head, as a recipe wants them."""
    body = get_space(architecture.space).build(architecture, recipe.body)
    return Network(body, task.build_head(body.channels, body.strides, vocabulary, recipe.head))


def initialise(network: nn.Module, seed: int) -> None:
    """Draw every layer's weights anew, from a generator of its own.

    Common random numbers: a layer's start depends on the seed, its name and its shape, so architectures that share a
    layer start it alike, and a lucky start lifts all of them together.
    """
    kept = {id(m) for body in network.modules() if getattr(body, "keeps_weights", False) for m in body.modules()}
    for name, module in network.named_modules():
        if id(module) in kept:  # pretrained
            continue
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            shapes = [tuple(p.shape) for p in module.parameters(recurse=False)]
            seed_by(f"{seed} {name} {shapes}")
            reset()
    for module in network.modules():
        if isinstance(module, DetectorHead):
            module.reset_parts(seed)
    torch.manual_seed(seed)


def train_network(network: Network, task: Task, data: CachedSplit, recipe: Recipe, seed: int, split: int) -> Network:
    """Train for the recipe's steps; returns the network with averaged weights.

    split: the batch is run in so many accumulated parts.
    Raises DivergedFailure when the loss is no longer finite.
    """
    use_fast_depthwise_backward(network)
    optimization = Optimization(network, recipe)
    device = next(network.parameters()).device
    network.train()
    if not any(parameter.requires_grad for parameter in network.body.parameters()):
        network.body.eval()  # frozen: its statistics stay too
    for step, batch in enumerate(training_batches(len(data), recipe, seed)):
        loss = torch.zeros(())
        for part in batch.parts(split):
            images, target = part.load(data, task)
            images = images.to(device, memory_format=memory_format(recipe, device))
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = task.loss(network.head, network.pyramid(images), target.to(device))
            torch.autograd.backward(loss * (len(part.indices) / len(batch.indices)))
        optimization.step(step, loss)
    return optimization.averaged


@torch.no_grad()
def evaluate_network(
    network: Network,
    task: Task,
    data: CachedSplit,
    meters: Mapping[str, Metric],
    recipe: Recipe,
    album: PredictionVisualizer | None = None,
) -> dict[str, dict[str, float]]:
    """Metrics over the whole split, by meter; `album` gets pictures.

    Raises DivergedFailure when the outputs are not finite.
    """
    network.eval()
    device = next(network.parameters()).device
    at_once = evaluation_batch(recipe)
    for start in range(0, len(data), at_once):
        images, target = data.batch(list(range(start, min(start + at_once, len(data)))))
        seen, target = task.evaluation_images(network.head, images), target.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            pyramid = network.pyramid(seen.to(device, memory_format=memory_format(recipe, device)))
            output = task.predict(network.head, pyramid, target)
        for values in (*pyramid, *((output,) if isinstance(output, Tensor) else ())):
            if not bool(torch.isfinite(values).all()):
                raise DivergedFailure("the trained network gives NaN or infinity: lower the learning rate")
        for build_metric in meters.values():
            build_metric.update(output, target)
        if album is not None:
            album.add(images, output, target)
    return {name: build_metric.compute() for name, build_metric in meters.items()}


def evaluation_batch(recipe: Recipe) -> int:
    """Images that a network which does not learn is given at once."""
    height, width = recipe.input_size
    return max(recipe.batch, _EVALUATED_PIXELS // (height * width))


def _described(network: Network, request: LabelRequest, task: Task) -> dict[str, Measurement]:
    """What is known of the network before any training, by task."""
    parts = {task.name: network} | {t: Network(network.body, task.companion_head(network.head, t)) for t in request.also}
    known, image = {}, (3, *request.recipe.input_size)
    for name, part in parts.items():
        graph = trace(part, image)
        costs, metric = (float(graph.flops), float(graph.params)), get_task(name).metric
        known[name] = Measurement(math.nan, metric, {}, *costs, {}, graph=graph.to_json())
    return known


def _measured(known: Measurement, runs: Sequence[Mapping[str, float]]) -> Measurement:
    """Mean metrics of several trainings, and the deviation of the one that counts, as METRIC_deviation."""
    metrics = {name: math.fsum(run[name] for run in runs) / len(runs) for name in runs[0]}
    if len(runs) > 1:
        metrics[f"{known.metric}_deviation"] = stdev(run[known.metric] for run in runs)
    return replace(known, value=metrics[known.metric], metrics=metrics)


def device_of(recipe: Recipe) -> torch.device:
    """A GPU where the recipe reserves one and there is one."""
    return torch.device("cuda" if recipe.gpus and torch.cuda.is_available() else "cpu")


def memory_format(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """Channels last where the recipe wants it and it pays: not for float32 on a GPU."""
    pays = device.type == "cpu" or recipe.precision != "float32"
    return torch.channels_last if recipe.channels_last and pays else torch.contiguous_format


class _Phases:
    """Wall seconds by phase, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def end(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now
