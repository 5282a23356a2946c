"""The predictor that a choice follows: `default`, adapted to the labels of the set in question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from orchestrator.predictors.generations import LATEST
from orchestrator.predictors.label_sets import LabelSetIdentity
from predictor import Predictor, shipped
from predictor.generation import read_metadata
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata
from predictor.models import Prediction, get_model
from predictor.models.base import MIN_SUPPORT

__all__ = ["MIN_SUPPORT", "AdaptedGeneration", "AdaptedModel", "Surrogate", "surrogate_for"]


PredictLabels = Callable[[LabelSet], Prediction]


class Surrogate(Protocol):
    """Predicts labels from other labels of the same set."""

    def adapted(self, support: LabelSet) -> PredictLabels:
        """Return a function that gives mean and deviation, (n,), for a query. support: at least 3 labels."""
        ...


class AdaptedModel:
    """A model without source tasks."""

    def __init__(self, model: str = "default", seed: int = 0) -> None:
        self._model = get_model(model)(seed)
        self._model.fit([])

    def adapted(self, support: LabelSet) -> PredictLabels:
        """See `Surrogate.adapted`. The function holds until the next call."""
        self._model.adapt(support)
        return self._model.predict


class AdaptedGeneration:
    """A generation: the label sets that it was trained on are source tasks."""

    def __init__(self, generation: Predictor) -> None:
        self._generation = generation

    def adapted(self, support: LabelSet) -> PredictLabels:
        """See `Surrogate.adapted`."""
        return self._generation.adapt_to_set(support).predict_set


def surrogate_for(predictors: Path, identity: LabelSetIdentity) -> tuple[Surrogate, str]:
    """Return the predictor for labels of a set, and what it is.

    It is the generation in use, or the one that comes with the package. A generation of another model is passed over,
    and one that was trained on labels of the set itself: to it the support set looks predictable, so that its intervals
    would be too narrow.
    Raises GenerationError for a generation that cannot be read.
    """
    for folder, name in ((predictors / LATEST, "the generation in use"), (shipped.FOLDER, "the shipped generation")):
        if folder.exists() and _is_suitable(read_metadata(folder), identity):
            return AdaptedGeneration(Predictor.load(folder)), name
    return AdaptedModel(), "no generation"


def _is_suitable(metadata: GenerationMetadata, identity: LabelSetIdentity) -> bool:
    """Return whether a generation is of the model `default` and was not trained on labels of the set."""
    kinds = {learned.kind for learned in metadata.sets}
    return metadata.model == "default" and identity.to_kind() not in kinds
