"""Networks traced by several processes are those traced by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from orchestrator.search import network_tracing
from orchestrator.search.candidates import TracedNetworks
from orchestrator.search.network_tracing import CHUNK, NetworkTracer, TracedChunk, trace_chunk, trace_in_chunks
from predictor.errors import AIOPError
from predictor.graph import Graph
from tests.support.declared_space import SIZE, isolate_declarations, write_space
from workers.messages.architecture import Architecture
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space, open_space


def _sample(count: int) -> list[Architecture]:
    return list(itertools.islice(get_space("nasbench201").sequence(0), count))


def _tracer() -> NetworkTracer:
    return NetworkTracer(load_recipe("laptop", "seg", "nasbench201"), "seg", "shapes")


def _same(first: TracedNetworks, second: TracedNetworks) -> bool:
    arrays = first.pool.to_arrays(), second.pool.to_arrays()
    return all(np.array_equal(value, arrays[1][name]) for name, value in arrays[0].items())


def test_several_processes_trace_what_one_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_declarations(monkeypatch)
    declared = open_space(str(write_space(tmp_path)))
    recipe = load_recipe("laptop", "seg", declared.name)
    architectures = list(itertools.islice(declared.sequence(0), SIZE))
    monkeypatch.setattr(network_tracing, "CHUNK", 4)
    shown: list[tuple[int, int]] = []
    one = TracedNetworks(NetworkTracer(recipe, "seg", "shapes"))
    one.add(architectures)
    monkeypatch.setattr(network_tracing, "_WORTH_PROCESSES", 2)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    many = TracedNetworks(NetworkTracer(recipe, "seg", "shapes"), lambda done, total: shown.append((done, total)))
    assert many.add(architectures) == architectures
    assert _same(one, many)
    assert [many.cost(a) for a in architectures] == [one.cost(a) for a in architectures]
    assert shown == [(4, SIZE), (8, SIZE), (SIZE, SIZE)]


def test_a_process_that_is_killed_loses_no_network(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracer, architectures = _tracer(), _sample(2 * CHUNK)

    def killed(tracer: NetworkTracer, chunks: list[list[Architecture]]) -> Iterator[TracedChunk]:
        yield trace_chunk(tracer, chunks[0])
        raise BrokenProcessPool("a worker was killed\nand more")

    monkeypatch.setattr(network_tracing, "_in_processes", killed)
    monkeypatch.setattr(network_tracing, "_WORTH_PROCESSES", 2)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    traced = list(trace_in_chunks(tracer, architectures))
    assert [len(chunk.pool) for chunk in traced] == [CHUNK, CHUNK]
    assert "a worker was killed): continuing in one" in caplog.text


def test_a_network_that_cannot_be_built_leaves_its_reason() -> None:
    tracer, (first, second) = _tracer(), _sample(2)

    def trace(architecture: Architecture) -> Graph:
        if architecture == first:
            raise AIOPError("as asked")
        return tracer(architecture)

    traced = trace_chunk(trace, [first, second])
    assert traced.costs[0] == "as asked"
    assert len(traced.pool) == 1
