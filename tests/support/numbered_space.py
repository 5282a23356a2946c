"""A space of small random networks by number, whose labels are its own function of their graphs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.search.candidates import Candidates, TracedNetworks
from orchestrator.search.surrogate import PredictLabels
from predictor.graph import Graph
from predictor.label_set import LabelSet
from predictor.models.base import Prediction
from tests.support.labelled_networks import network
from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.messages.label import LabelJob, LabelRequest, Measurement
from workers.messages.recipe import Recipe
from workers.spaces.base import Backbone, Space

SIZE = 60
RECIPE = Recipe(name="fake", task="faking", time_limit_s=60)


class NumberedSpace(Space):
    """The networks 0 to 59; a mutation is a neighbouring number."""

    name = "numbered"

    @property
    def size(self) -> int:
        return SIZE

    def random_genotype(self, rng: random.Random) -> dict[str, Any]:
        return {"number": rng.randrange(SIZE)}

    def mutate_genotype(self, genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        return {"number": (genotype["number"] + rng.choice([-1, 1])) % SIZE}

    def check(self, genotype: dict[str, Any]) -> None:
        if genotype.keys() != {"number"}:
            raise GenotypeError(f"{genotype}: has no number")

    def encode(self, architecture: Architecture) -> Sequence[int]:
        return [architecture.values["number"]]

    def decode(self, code: Sequence[int]) -> Architecture:
        return self.architecture({"number": code[0]})

    def build_backbone(self, genotype: dict[str, Any], settings: Mapping[str, Any]) -> Backbone:
        raise NotImplementedError


SPACE = NumberedSpace()


def traced(architecture: Architecture) -> Graph:
    """Return the graph of a network."""
    return network(architecture.values["number"])


def value_of(architecture: Architecture) -> float:
    """Return the label of a network, which grows with its FLOPs."""
    return float(np.log2(traced(architecture).flops) / 40)


def candidates(size: int = SIZE, seed: int = 0) -> Candidates:
    """Return candidates of the space."""
    return Candidates(SPACE, TracedNetworks(traced), size, seed)


def template() -> LabelRequest:
    """Return a request of some network."""
    return LabelRequest(SPACE.architecture({"number": 0}), "faking", "synthetic", "f" * 16, "full", RECIPE, 0)


def evaluate(job: LabelJob) -> Measurement:
    """Return a network's label without training it."""
    architecture = job.request.architecture
    graph, value = traced(architecture), value_of(architecture)
    return Measurement(value, "fake", {"fake": value}, float(graph.flops), float(graph.params), {"train": 1.0})


class FlopsSurrogate:
    """Predicts labels from FLOPs alone, with a line through those of the support set."""

    def adapted(self, support: LabelSet) -> PredictLabels:
        """Return a function that gives the line's values, and one deviation for all."""
        slope, offset = np.polyfit(support.column("log_flops"), support.values, 1)

        def predict(query: LabelSet) -> Prediction:
            mean = slope * query.column("log_flops") + offset
            return Prediction(mean, np.full(len(query), 0.01))

        return predict
