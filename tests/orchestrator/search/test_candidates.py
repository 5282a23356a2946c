"""The networks to choose from."""

from __future__ import annotations

from orchestrator.search.candidates import Candidates, TracedNetworks
from orchestrator.search.networks import StudyNetworks
from predictor.graph import Graph, TraceError
from tests.support.numbered_space import SIZE, SPACE, candidates, traced
from workers.messages.architecture import Architecture


def test_a_larger_pool_begins_with_a_smaller_one() -> None:
    assert candidates(20).sampled()[:8] == candidates(8).sampled()
    assert candidates(8, seed=1).sampled() != candidates(8).sampled()
    assert len(candidates(1000).sampled()) == SIZE


def test_mutations_depend_on_parent_and_seed_only() -> None:
    parents = candidates(9).sampled()
    few, many = candidates().mutations(parents[:1]), candidates().mutations(parents)
    assert len(few) == 2  # the neighbours, each once
    assert many[:2] == few


def test_networks_are_traced_once_and_those_that_cannot_be_built_are_left_out() -> None:
    calls: list[Architecture] = []

    def trace(architecture: Architecture) -> Graph:
        calls.append(architecture)
        if architecture.values["number"] % 2:
            raise TraceError("as asked")
        return traced(architecture)

    networks = TracedNetworks(trace)
    found = Candidates(SPACE, networks, SIZE).sampled()
    assert {a.values["number"] for a in found} == set(range(0, SIZE, 2))
    assert networks.add(found) == found
    assert len(calls) == SIZE
    assert networks.problem == StudyNetworks({"faking": networks}).problem == "as asked"
    assert networks.pool.statistics[networks.rows(found[3:4])].tolist() == networks.statistics(found[3:4]).tolist()
    assert networks.cost(found[3]).flops == traced(found[3]).flops


def test_excluded_architectures_are_not_traced() -> None:
    networks = TracedNetworks(traced)
    Candidates(SPACE, networks, SIZE, excluded=lambda a: a.values["number"] > 4).sampled()
    assert len(networks.pool) == 5
