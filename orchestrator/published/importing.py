"""Add published results to a store: build and trace every network, then commit its results as labels."""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from orchestrator.published.named_networks import NamedNetwork, open_network
from orchestrator.published.results_file import RejectedLine, Result
from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError
from predictor.graph import Graph, trace
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.published_recipe import FIDELITY, PublishedRecipe

_CHUNK_NETWORKS = 32  # networks that one task traces
_COMMIT_LABELS = 500  # labels in one commit


@dataclass(frozen=True, slots=True)
class TraceInput:
    """A network to trace. input_size: height and width of its images in pixels."""

    model: str
    input_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TraceResult:
    """The graph of a network as JSON. If it could not be traced, the graph is empty and `error` holds the reason."""

    traced: TraceInput
    graph: str
    error: str = ""


ChunkTracer = Callable[[Sequence[list[TraceInput]]], Iterator[list[TraceResult]]]
_RequestedResult = tuple[Result, LabelRequest]


@dataclass(slots=True)
class ImportSummary:
    """What an import added.

    rows: results in the file. known: results that the store had already. networks: distinct pairs of model and input
    size that were built.
    """

    rows: int
    added: int = 0
    known: int = 0
    networks: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)


def import_results(
    results: Sequence[Result],
    store: LabelStore,
    trace_chunks: ChunkTracer,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportSummary:
    """Commit the results that the store does not have yet.

    trace_chunks: applies `trace_chunk` to all chunks, in any order, possibly on other machines. on_progress: called
    with the number of networks traced so far and the total.
    """
    summary, campaign, reports = ImportSummary(len(results)), uuid.uuid4().hex[:12], list[AttemptReport]()
    pending = _pending_by_network(results, store.keys(fidelity=FIDELITY), summary)
    position = {model: number for number, model in enumerate(dict.fromkeys(network.model for network in pending))}
    inputs = sorted(pending, key=lambda network: position[network.model])  # all sizes of a network in sequence
    chunks = [inputs[start : start + _CHUNK_NETWORKS] for start in range(0, len(inputs), _CHUNK_NETWORKS)]
    for chunk in trace_chunks(chunks):
        for result in chunk:
            summary.networks += 1
            if result.error:
                lines = (line for line, _ in pending[result.traced])
                summary.rejected += [RejectedLine(line.line, line.model, result.error) for line in lines]
            else:
                reports += _reports(pending[result.traced], result.graph, campaign)
        on_progress(summary.networks, len(inputs))
        if len(reports) >= _COMMIT_LABELS:
            summary.added += store.commit(reports).labels
            reports = []
    summary.added += store.commit(reports).labels
    return summary


def _pending_by_network(
    results: Sequence[Result], stored: set[str], summary: ImportSummary
) -> dict[TraceInput, list[_RequestedResult]]:
    """Return the results that are not stored, by network; the others are counted or listed in `summary`."""
    pending: dict[TraceInput, list[_RequestedResult]] = defaultdict(list)
    repeats = Counter[str]()
    for result in results:
        try:
            network = open_network(result.model, result.space)
            first = _request(result, network)
        except AIOPError as error:
            summary.rejected.append(RejectedLine(result.line, result.model, str(error)))
            continue
        # The same network again, under any name, counts as another training with the next seed.
        request = replace(first, seed=repeats[first.key])
        repeats[first.key] += 1
        if request.key in stored:
            summary.known += 1
        else:
            pending[TraceInput(network.name, result.input_size)].append((result, request))
    return pending


def trace_chunk(inputs: Sequence[TraceInput]) -> list[TraceResult]:
    """Build and trace networks one after another. Consecutive inputs of the same model build it once."""
    results, built = list[TraceResult](), dict[str, nn.Module]()
    for network in inputs:
        try:
            if network.model not in built:
                built = {network.model: open_network(network.model).build()}
            graph = trace(built[network.model], (3, *network.input_size))
            results.append(TraceResult(network, graph.to_json()))
        except AIOPError as error:
            results.append(TraceResult(network, "", str(error)))
    return results


def _request(result: Result, network: NamedNetwork) -> LabelRequest:
    recipe = PublishedRecipe(name=result.recipe, task=result.task, input_size=result.input_size)
    data = result.dataset
    return LabelRequest(network.architecture, result.task, data, data, FIDELITY, recipe, seed=0)


def _reports(pending: Iterable[_RequestedResult], graph_json: str, campaign: str) -> Iterator[AttemptReport]:
    graph = Graph.from_json(graph_json)
    flops, params = graph.flops, graph.params
    for result, request in pending:
        metrics = {result.metric: result.value}
        measured = Measurement(result.value, result.metric, metrics, flops, params, {}, graph=graph_json)
        yield AttemptReport(LabelJob(request, campaign), Outcome.OK, "", "", time.time(), 0.0, measured)
