"""How fast intervals widen with the distance is estimated from networks that a model was not trained near."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor import Predictor
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata, LearnedSet
from predictor.models import Model, Prediction
from predictor.networks.fitting import Checkpointer
from predictor.reference_graphs import Widening, reference_graphs
from predictor.widening import fit_widening
from tests.support.synthetic_sets import label_set, random_graph

SETS = [label_set("a/seg/x", 90, [1.0, 0.3, -0.5, 0.2, 0.4]), label_set("b/seg/x", 60, [1.0, 0.2, -0.4, 0.0, 0.4])]


class KnownErrors(Model):
    """Predicts labels with errors that grow as distance ** power from what it was trained on, and says 1."""

    name: ClassVar[str] = "known errors"
    power: ClassVar[float] = 4.0

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        self.trained_on = sum(map(len, sources))
        self.references = reference_graphs(sources)

    def adapt(self, support: LabelSet) -> None:
        assert len(support) == 0

    def predict(self, query: LabelSet) -> Prediction:
        distances = self.references[query.task, query.data].distances(query.statistics)
        noise = np.random.default_rng(0).normal(size=len(query))
        errors: NDArray[np.float64] = noise * np.maximum(distances, 1.0) ** self.power
        return Prediction(query.values + errors, np.ones(len(query)))


def test_intervals_widen_if_errors_grow() -> None:
    found = fit_widening(KnownErrors, SETS)
    assert found.exponent > 1
    assert found.tested >= 10
    assert fit_widening(KnownErrors, SETS) == found


def test_intervals_that_are_wide_enough_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownErrors, "power", -1.0)
    assert fit_widening(KnownErrors, SETS).exponent == 0


def test_without_distant_labels_deviations_are_proportional_to_the_distance() -> None:
    few = [one.take(np.arange(6)) for one in SETS[:1]]
    assert fit_widening(KnownErrors, few) == Widening(exponent=1.0, tested=0)
    assert fit_widening(KnownErrors, []) == Widening(exponent=1.0, tested=0)


def test_a_predictor_widens_distant_networks_only() -> None:
    model = KnownErrors(0)
    model.fit(SETS)
    sets = tuple(LearnedSet(name=one.name, task=one.task, data=one.data, labels=len(one)) for one in SETS)
    references = reference_graphs(SETS)
    plain = Predictor(model, GenerationMetadata(model="x", sets=sets), references=references)
    wide = Predictor(model, plain.metadata, references=references, widening=Widening(2.0, 30))
    graphs = [random_graph(seed) for seed in (0, 1, 700, 701, 702, 703)]  # the first two were trained on
    distances = wide.distances(graphs, "seg")
    assert distances is not None
    assert distances[:2].tolist() == [0, 0]
    expected = np.maximum(distances, 1.0) ** 2
    assert np.allclose(wide.predict(graphs, "seg").deviation / plain.predict(graphs, "seg").deviation, expected)
    assert plain.predict(graphs, "seg").deviation.tolist() == [1.0] * 6
