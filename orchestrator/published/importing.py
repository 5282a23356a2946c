"""Published results become labels: every network is built and traced, then its results are committed."""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from orchestrator.published.named_networks import NamedModel, open_model
from orchestrator.published.results_file import Refused, Result
from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError
from predictor.graph import Graph, trace
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.published_recipe import FIDELITY, PublishedRecipe

_CHUNK = 32  # networks a task
_TOGETHER = 500  # labels a commit

Named = tuple[str, tuple[int, int]]  # a model's name and its image's height and width
Traced = tuple[Named, str, str]  # with its graph's JSON, or why there is none
_Wanted = tuple[Result, LabelRequest]
Map = Callable[[Sequence[list[Named]]], Iterator[list[Traced]]]


@dataclass(slots=True)
class Imported:
    """What came of an import. networks: distinct pairs of model and input size that were built."""

    rows: int
    added: int = 0
    known: int = 0
    networks: int = 0
    refused: list[Refused] = field(default_factory=list)


def import_results(
    results: Sequence[Result],
    store: LabelStore,
    over: Map,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Commit what the store does not have yet.

    over: applies `trace_chunk` to all chunks, in any order, perhaps on other machines. show: gets the number of
    networks done and that of all.
    """
    outcome, campaign, made = Imported(len(results)), uuid.uuid4().hex[:12], list[AttemptReport]()
    waiting = _asked(results, store.keys(fidelity=FIDELITY), outcome)
    models = dict.fromkeys(model for model, _ in waiting)
    place = {model: number for number, model in enumerate(models)}
    names = sorted(waiting, key=lambda name: place[name[0]])  # all sizes of a network together
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    for traced in over(chunks):
        for name, graph, reason in traced:
            outcome.networks += 1
            if reason:
                outcome.refused += [Refused(result.line, result.model, reason) for result, _ in waiting[name]]
            else:
                made += _reports(waiting[name], graph, campaign)
        show(outcome.networks, len(names))
        if len(made) >= _TOGETHER:
            outcome.added += store.commit(made).labels
            made = []
    outcome.added += store.commit(made).labels
    return outcome


def _asked(results: Sequence[Result], stored: set[str], outcome: Imported) -> dict[Named, list[_Wanted]]:
    """By network, the results that are not stored; `outcome` learns of the others."""
    waiting: dict[Named, list[_Wanted]] = defaultdict(list)
    seen = Counter[str]()
    for result in results:
        try:
            model = open_model(result.model)
            first = _request(result, model)
        except AIOPError as error:
            outcome.refused.append(Refused(result.line, result.model, str(error)))
            continue
        request = replace(first, seed=seen[first.key])  # the same network again, by whatever name: a repeated training
        seen[first.key] += 1
        if request.key in stored:
            outcome.known += 1
        else:
            waiting[model.name, result.input_size].append((result, request))
    return waiting


def trace_chunk(names: Sequence[Named]) -> list[Traced]:
    """Build and trace networks one after another; what stands beside itself, for other sizes, is built once."""
    traced, built = list[Traced](), dict[str, nn.Module]()
    for model, size in names:
        try:
            if model not in built:
                built = {model: open_model(model).build()}
            traced.append(((model, size), trace(built[model], (3, *size)).to_json(), ""))
        except AIOPError as error:
            traced.append(((model, size), "", str(error)))
    return traced


def _request(result: Result, model: NamedModel) -> LabelRequest:
    recipe = PublishedRecipe(name=result.recipe, task=result.task, input_size=result.input_size)
    where = result.dataset
    return LabelRequest(model.architecture, result.task, where, where, FIDELITY, recipe, seed=0)


def _reports(wanted: Iterable[_Wanted], graph: str, campaign: str) -> Iterator[AttemptReport]:
    read = Graph.from_json(graph)
    flops, params = read.flops, read.params
    for result, request in wanted:
        metrics = {result.metric: result.value}
        measured = Measurement(result.value, result.metric, metrics, flops, params, {}, graph=graph)
        yield AttemptReport(LabelJob(request, campaign), Outcome.OK, "", "", time.time(), 0.0, measured)
