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
from workers import pulse, tally
from workers.data import Vocabulary
from workers.detectors.head import DetectorHead
from workers.errors import DivergedFailure, RecipeError
from workers.loading.batches import ImageSplit, SplitCache
from workers.messages.architecture import Architecture
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, LabelRequest, Measurement
from workers.messages.recipe import Recipe
from workers.metrics.base import Metric
from workers.seeding import seed_from_text
from workers.spaces import get_space
from workers.spaces.weights_file import body_fingerprint
from workers.storage.checkpoints import Checkpoint, open_checkpoints
from workers.tasks import Task, get_task
from workers.training.calibration import calibrate
from workers.training.depthwise import use_fast_depthwise_backward
from workers.training.frozen_parts import freeze_stages, set_training_mode
from workers.training.normalisation import Normalisation
from workers.training.optimization import Optimization
from workers.training.resumption import Resumption
from workers.training.visualizer import PredictionVisualizer

# Small images are evaluated in larger batches than in training: half the overhead of calls, and no gradients to store.
_EVALUATION_PIXELS = 32 * 96 * 128
_CALIBRATION_IMAGES = 128  # as many as recipes of fidelity `shared` have


class Network(nn.Module):
    """A backbone (`body`), a head, and the normalisation of uint8 images.

    The names of attributes are keys of stored weights and seeds of the initialisation. They never change.
    """

    def __init__(self, body: nn.Module, head: nn.Module, normalise: Normalisation | None = None) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.normalise = normalise or Normalisation()

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps for (N, 3, H, W) images, uint8 or float in 0..255."""
        levels: list[Tensor] = self.body(self.normalise(images))
        return levels

    def forward(self, images: Tensor) -> Any:
        """Return the head's raw outputs for images."""
        return self.head(self.pyramid(images))


class FullEvaluator:
    """Trains each architecture from scratch, then evaluates it. Decoded data is cached between labels.

    If the recipe has several trainings, the label is the mean of their metrics.
    """

    def __init__(self, options: EvaluatorOptions | None = None) -> None:
        self._options = options or EvaluatorOptions()
        self._splits = SplitCache()
        location = self._options.checkpoints_uri
        self._checkpoints = None if location is None else open_checkpoints(location)

    def __call__(self, job: LabelJob) -> Measurement:
        """Make the label of `job`, from its checkpoint if an earlier attempt left one.

        The same request gives the same numbers on the same machine, however often it was interrupted.
        """
        request, task = job.request, get_task(job.request.task)
        resumption = Resumption(self._checkpoints, request.key, request.recipe.checkpoint_s, job.split)
        timer = _PhaseTimer(resumption.seconds)
        device = device_of(request.recipe)
        data, train, held_out = self._splits.open(request.data, task, request.recipe, request.fingerprint, device)
        timer.end("data")
        vocabulary = data.vocabulary(task.name)
        count, recipe = request.recipe.trainings(len(train))
        runs, unmeasured = resumption.runs, dict[str, Measurement]()
        for number in range(len(runs), count):
            seeded = replace(request, seed=request.seed * count + number)
            network = build_network(request.architecture, recipe, task, vocabulary)
            self.set_initial_weights(network, seeded, task, vocabulary, train)
            unmeasured = unmeasured or _trace_networks(network, request, task)
            network = network.to(device).to(memory_format=memory_format(recipe, device))
            timer.end("build")
            averaged = train_network(network, train, recipe, seeded.seed, job.split, resumption)
            timer.end("train")
            if request.keep_weights and not number:
                self._keep_weights(averaged, request)
            metrics = {task.name: task.build_metric(vocabulary)} | {
                t: task.build_companion_metric(t, vocabulary) for t in request.also
            }
            visualizer = None if number else self._visualizer(request, task, vocabulary)
            runs.append(evaluate_network(averaged, held_out, metrics, recipe, visualizer, job.split))
            timer.end("evaluate")
        measured = {t: _average_runs(cost, [run[t] for run in runs]) for t, cost in unmeasured.items()}
        also = {t: measured[t] for t in request.also}
        return replace(measured[task.name], seconds=timer.seconds, also=also)

    def set_initial_weights(
        self, network: Network, request: LabelRequest, task: Task, vocabulary: Vocabulary, train: ImageSplit
    ) -> None:
        """Set the weights at the start of training. The network is on the CPU and may be moved."""
        initialise(network, request.seed)
        if getattr(network.body, "stale_statistics", False):
            _calibrate_backbone(network, train, request.recipe)

    def _keep_weights(self, network: Network, request: LabelRequest) -> None:
        """Keep the trained weights, if there is a place. One that cannot be written is logged, and loses no label."""
        if (location := self._options.weights_uri) is not None:
            weights = {name: value.cpu() for name, value in network.state_dict().items()}
            open_checkpoints(location).save(request.key, Checkpoint(weights))

    def _visualizer(self, request: LabelRequest, task: Task, vocabulary: Vocabulary) -> PredictionVisualizer | None:
        folder, count = self._options.images_folder, self._options.save_images
        if folder is None or not count:
            return None
        return PredictionVisualizer(Path(folder) / f"{task.name}-{request.key}", count, task, vocabulary)


def build_network(architecture: Architecture, recipe: Recipe, task: Task, vocabulary: Vocabulary) -> Network:
    """Build the backbone of an architecture and the head of a task, with the settings of a recipe.

    Raises RecipeError if the file of pretrained weights is missing, or is not the one that the label was planned with.
    """
    if recipe.body_fingerprint and recipe.body_fingerprint != body_fingerprint(recipe.body):
        raise RecipeError(
            f"body pretrained '{recipe.body['pretrained']}': is another file than when the label was planned: restore "
            "it on this machine, or start the command again"
        )
    backbone = get_space(architecture.space).build(architecture, recipe.body)
    head = task.build_head(backbone.channels, backbone.strides, vocabulary, recipe.head)
    return Network(backbone, head, Normalisation.of(recipe, backbone))


def initialise(network: nn.Module, seed: int) -> None:
    """Initialise each layer from its own random generator; pretrained layers keep their weights.

    Common random numbers: the initial weights of a layer depend on the seed, its name and its shape. Architectures that
    share a layer start with equal weights, so a lucky initialisation improves all of them together.
    """
    pretrained = {id(m) for body in network.modules() if getattr(body, "keeps_weights", False) for m in body.modules()}
    for name, module in network.named_modules():
        if id(module) in pretrained:
            continue
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            shapes = [tuple(p.shape) for p in module.parameters(recurse=False)]
            seed_from_text(f"{seed} {name} {shapes}")
            reset()
    for module in network.modules():
        if isinstance(module, DetectorHead):
            module.reset_parts(seed)
    torch.manual_seed(seed)


def _calibrate_backbone(network: Network, train: ImageSplit, recipe: Recipe) -> None:
    """Calibrate the batch norms of the backbone on the first training images, without augmentation."""
    device, batch = device_of(recipe), evaluation_batch_size(recipe)
    network.to(device).to(memory_format=memory_format(recipe, device))
    indices = range(min(_CALIBRATION_IMAGES, len(train)))
    batches = (train.batch(list(indices[start : start + batch])) for start in range(0, len(indices), batch))
    calibrate(network.body, (network.normalise(part.images.to(device)) for part in batches))


def train_network(
    network: Network, data: ImageSplit, recipe: Recipe, seed: int, split: int, resumption: Resumption | None = None
) -> Network:
    """Train for the recipe's steps. Returns the network with averaged weights.

    split: number of parts of each batch, whose gradients are accumulated. resumption: saves checkpoints, and has the
    one to continue from.

    Raises DivergedFailure if the loss is not finite.
    """
    use_fast_depthwise_backward(network)
    if not getattr(network.body, "keeps_weights", False):  # what starts from nothing is trained
        recipe = recipe.model_copy(update={"frozen_stages": 0, "backbone_norm": "running"})
    freeze_stages(network.body, recipe.frozen_stages)
    optimization = Optimization(network, recipe)
    device, task = next(network.parameters()).device, data.task
    set_training_mode(network, network.body, recipe)
    resumption = resumption or Resumption(None, "", recipe.checkpoint_s)
    first = resumption.start(network, optimization, recipe.steps)
    batches = tally.count_waiting(data.training(recipe.steps, seed, first, split))
    for step, parts in enumerate(batches, first):
        loss = torch.zeros(())
        for part in parts:
            images = part.images.to(memory_format=memory_format(recipe, device))
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = task.loss(network.head, network.pyramid(images), part.target)
            torch.autograd.backward(loss * part.share)
        optimization.step(step, loss)
        resumption.after_step(step + 1, recipe.steps, network, optimization)
    return optimization.averaged


@torch.no_grad()
def evaluate_network(
    network: Network,
    data: ImageSplit,
    metrics: Mapping[str, Metric],
    recipe: Recipe,
    visualizer: PredictionVisualizer | None = None,
    split: int = 1,
) -> dict[str, dict[str, float]]:
    """Return the values of each of `metrics` over the whole split, by its name there.

    visualizer: draws the predictions. split: number of parts that usual batches are divided into, to save memory.

    Raises DivergedFailure if the outputs are not finite.
    """
    network.eval()
    device, task = next(network.parameters()).device, data.task
    for batch in data.evaluation(max(1, evaluation_batch_size(recipe) // split)):
        pulse.beat()
        inputs = task.evaluation_images(network.head, batch.images)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            pyramid = network.pyramid(inputs.to(memory_format=memory_format(recipe, device)))
            output = task.predict(network.head, pyramid, batch.target)
        for values in (*pyramid, *((output,) if isinstance(output, Tensor) else ())):
            if not bool(torch.isfinite(values).all()):
                raise DivergedFailure("the trained network gives NaN or infinity: lower the learning rate")
        for metric in metrics.values():
            metric.update(output, batch.target)
        if visualizer is not None:
            visualizer.add(batch, output)
    return {name: metric.compute() for name, metric in metrics.items()}


def evaluation_batch_size(recipe: Recipe) -> int:
    """Return the number of images per batch without training."""
    height, width = recipe.eval_size or recipe.input_size
    return max(recipe.batch, _EVALUATION_PIXELS // (height * width))


def _trace_networks(network: Network, request: LabelRequest, task: Task) -> dict[str, Measurement]:
    """Return the graph and cost of the network and its companions by task, as measurements without metrics."""
    networks = {task.name: network} | {
        t: Network(network.body, task.companion_head(network.head, t), network.normalise) for t in request.also
    }
    measurements, image = {}, (3, *request.recipe.input_size)
    for name, part in networks.items():
        graph = trace(part, image)
        costs, metric = (float(graph.flops), float(graph.params)), get_task(name).metric
        measurements[name] = Measurement(math.nan, metric, {}, *costs, {}, graph=graph.to_json())
    return measurements


def _average_runs(cost: Measurement, runs: Sequence[Mapping[str, float]]) -> Measurement:
    """Return `cost` with the mean metrics of several trainings.

    The standard deviation of the task's metric is stored as METRIC_deviation. What a training lacks is left out.
    """
    names = [name for name in runs[0] if all(name in run for run in runs)]
    metrics = {name: math.fsum(run[name] for run in runs) / len(runs) for name in names}
    if len(runs) > 1:
        metrics[f"{cost.metric}_deviation"] = stdev(run[cost.metric] for run in runs)
    return replace(cost, value=metrics[cost.metric], metrics=metrics)


def device_of(recipe: Recipe) -> torch.device:
    """Return a GPU if the recipe reserves one and there is one, else the CPU."""
    return torch.device("cuda" if recipe.gpus and torch.cuda.is_available() else "cpu")


def memory_format(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """Return channels last if the recipe sets it and it is faster, which it is not for float32 on a GPU."""
    faster = device.type == "cpu" or recipe.precision != "float32"
    return torch.channels_last if recipe.channels_last and faster else torch.contiguous_format


class _PhaseTimer:
    """Adds up wall seconds by phase."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        """seconds: spent before, by phase."""
        self.seconds = dict(seconds)
        self._since = time.perf_counter()

    def end(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now
        pulse.beat()
