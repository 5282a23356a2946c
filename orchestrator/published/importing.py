"""Add published results to a store: build and trace every network, then commit its results as labels."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from orchestrator.published.named_networks import NamedNetwork, open_network
from orchestrator.published.result import RejectedLine, Result
from orchestrator.published.stored_results import NamedResult, sort_results
from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError, one_line
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


@dataclass(slots=True)
class ImportSummary:
    """What an import added.

    rows: results in the file. known: results that the store had already. networks: distinct pairs of model and input
    size that were built. repeated: lines that are the same as an earlier one. differing: lines whose value is not the
    stored one of the same training, which stays. notes: one line for each network whose FLOPs are not complete.
    """

    rows: int
    added: int = 0
    known: int = 0
    networks: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)
    repeated: list[RejectedLine] = field(default_factory=list)
    differing: list[RejectedLine] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
    pending = _pending_by_network(results, store, summary)
    position = {model: number for number, model in enumerate(dict.fromkeys(network.model for network in pending))}
    inputs = sorted(pending, key=lambda network: position[network.model])  # all sizes of a network in sequence
    chunks = [inputs[start : start + _CHUNK_NETWORKS] for start in range(0, len(inputs), _CHUNK_NETWORKS)]
    for chunk in trace_chunks(chunks):
        for result in chunk:
            summary.networks += 1
            if result.error:
                summary.rejected += [_line(named.result, result.error) for named in pending[result.traced]]
            else:
                graph = Graph.from_json(result.graph)
                summary.notes += [f"{result.traced.model}: {graph.incomplete_flops}"] if graph.uncounted else []
                reports += _reports(pending[result.traced], graph, campaign)
        on_progress(summary.networks, len(inputs))
        if len(reports) >= _COMMIT_LABELS:
            summary.added += store.commit(reports).labels
            reports = []
    summary.added += store.commit(reports).labels
    return summary


def _pending_by_network(
    results: Sequence[Result], store: LabelStore, summary: ImportSummary
) -> dict[TraceInput, list[NamedResult]]:
    """Return the results that are not stored, by network; the others are counted or listed in `summary`."""
    named = list[NamedResult]()
    for result in results:
        try:
            network = open_network(result.model, result.space)
            named.append(NamedResult(result, network, _request(result, network)))
        except AIOPError as error:
            summary.rejected.append(_line(result, str(error)))
        except Exception as error:  # a name may be anything, and one line must not cost the others
            summary.rejected.append(_line(result, f"model '{result.model}': {one_line(error)}"))
    found = sort_results(named, store)
    summary.known = found.known
    summary.repeated = [_line(*line) for line in found.repeated]
    summary.differing = [_line(*line) for line in found.differing]
    pending: dict[TraceInput, list[NamedResult]] = defaultdict(list)
    for new in found.new:
        pending[TraceInput(new.network.name, new.result.input_size)].append(new)
    return pending


def _line(result: Result, reason: str) -> RejectedLine:
    return RejectedLine(result.line, result.model, reason)


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
        except Exception as error:  # one network must not cost the others
            reason = f"model '{network.model}': {type(error).__name__}: {one_line(error)}"
            results.append(TraceResult(network, "", reason))
    return results


def _request(result: Result, network: NamedNetwork) -> LabelRequest:
    recipe = PublishedRecipe(name=result.recipe, task=result.task, input_size=result.input_size)
    data = result.dataset
    return LabelRequest(network.architecture, result.task, data, data, FIDELITY, recipe, seed=0)


def _reports(pending: Iterable[NamedResult], graph: Graph, campaign: str) -> Iterator[AttemptReport]:
    flops, params, graph_json = graph.flops, graph.params, graph.to_json()
    for named in pending:
        result, request = named.result, named.request
        metrics = {result.metric: result.value}
        measured = Measurement(result.value, result.metric, metrics, flops, params, {}, graph=graph_json)
        yield AttemptReport(LabelJob(request, campaign), Outcome.OK, "", "", time.time(), 0.0, measured)
