"""Trace the networks of labels: backbone and head on the meta device, many of them at once by all cores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch
from joblib import Parallel, cpu_count, delayed
from torch import nn

from orchestrator.predictors.labelled_networks import data_size
from predictor.errors import AIOPError
from predictor.features.graph_pool import GraphPool
from predictor.graph import Graph, trace
from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe
from workers.spaces import get_space
from workers.spaces.opening import receive_space, space_message
from workers.tasks import get_task
from workers.training.full import Network
from workers.training.normalisation import Normalisation

log = logging.getLogger(__name__)

CHUNK = 16  # networks that one process traces at a time
_WORTH_PROCESSES = 48  # networks: processes take seconds to start, and stay for the next ones
_kept: dict[tuple[str, str, str], NetworkTracer] = {}  # in the processes, by recipe, task and data set

TraceNetwork = Callable[[Architecture], Graph]


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """FLOPs of one image and parameters of a network with its head."""

    flops: float
    params: float


@dataclass(frozen=True, slots=True)
class TracedChunk:
    """Costs of some networks in their order, or why one cannot be built; and the graphs of those that can."""

    costs: list[NetworkCost | str]
    pool: GraphPool


class NetworkTracer:
    """Traces the network of a label. Backbones with equal pyramids share a head, which takes long to build."""

    def __init__(self, recipe: Recipe, task: str, data: str) -> None:
        """task: the recipe's, or a companion of it. Raises DataError and UnknownNameError."""
        self.recipe, self.task, self.data = recipe, task, data
        self._owner, self._vocabulary = get_task(recipe.task), data_size(data, task).vocabulary()
        self._heads: dict[tuple[tuple[int, ...], ...], nn.Module] = {}

    def __call__(self, architecture: Architecture) -> Graph:
        """Return the graph at the recipe's image size. Raises AIOPError for a network that cannot be built."""
        backbone = get_space(architecture.space).skeleton(architecture, self.recipe.body)
        pyramid = tuple(backbone.channels), tuple(backbone.strides)
        if pyramid not in self._heads:
            with torch.device("meta"):
                head = self._owner.build_head(*pyramid, self._vocabulary, self.recipe.head)
                self._heads[pyramid] = (
                    head if self.task == self._owner.name else self._owner.companion_head(head, self.task)
                )
        network = Network(backbone, self._heads[pyramid], Normalisation.of(self.recipe, backbone))
        return trace(network, (3, *self.recipe.input_size))


def trace_in_chunks(trace_network: TraceNetwork, architectures: Sequence[Architecture]) -> Iterator[TracedChunk]:
    """Trace all architectures, in their order. A `NetworkTracer` traces many of them in several processes."""
    chunks = [list(architectures[start : start + CHUNK]) for start in range(0, len(architectures), CHUNK)]
    if isinstance(trace_network, NetworkTracer) and len(architectures) >= _WORTH_PROCESSES and cpu_count() > 1:
        done = 0
        try:
            for traced in _in_processes(trace_network, chunks):
                yield traced
                done += 1
            return
        except BrokenProcessPool as error:  # one was killed, perhaps because memory ran low
            log.warning("tracing in several processes ended (%s): continuing in one", str(error).split("\n")[0])
            chunks = chunks[done:]
    for chunk in chunks:
        yield trace_chunk(trace_network, chunk)


def trace_chunk(trace_network: TraceNetwork, architectures: Sequence[Architecture]) -> TracedChunk:
    """Trace architectures in this process."""
    costs: list[NetworkCost | str] = []
    graphs = list[Graph]()
    for architecture in architectures:
        try:
            graph = trace_network(architecture)
        except AIOPError as error:
            costs.append(str(error))
            continue
        costs.append(NetworkCost(float(graph.flops), float(graph.params)))
        graphs.append(graph)
    return TracedChunk(costs, GraphPool.of(graphs))


def _in_processes(tracer: NetworkTracer, chunks: Sequence[Sequence[Architecture]]) -> Iterator[TracedChunk]:
    message = space_message(chunks[0][0].space)
    calls = (delayed(_trace_there)(tracer.recipe, tracer.task, tracer.data, message, chunk) for chunk in chunks)
    return iter(Parallel(n_jobs=-1, return_as="generator")(calls))


def _trace_there(
    recipe: Recipe, task: str, data: str, message: str, architectures: Sequence[Architecture]
) -> TracedChunk:
    """Trace architectures in another process, which keeps the heads for the next ones. message: of their space."""
    torch.set_num_threads(1)
    if message:
        receive_space(message)
    key = recipe.hash, task, data
    if key not in _kept:
        _kept.clear()
        _kept[key] = NetworkTracer(recipe, task, data)
    return trace_chunk(_kept[key], architectures)
