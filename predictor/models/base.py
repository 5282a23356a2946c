"""What every model that predicts labels has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from predictor.errors import AIOPError
from predictor.label_set import Floats, LabelSet

if TYPE_CHECKING:  # it loads torch
    from predictor.networks.fitting import Checkpointer


class ModelError(AIOPError):
    """A model that does not exist, or cannot do what is asked of it."""


class NothingKnownError(ModelError):
    """There is neither a label of the set asked about nor another set to learn from."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing is known that tells of {name}: label or import more, or give labels of it")


@dataclass(frozen=True, slots=True)
class Prediction:
    """mean, deviation: (n,), in the unit of the labels. A score is a mean that ranks and no more: deviation is NaN.

    Unpacks as `mean, deviation = ...`.
    """

    mean: Floats
    deviation: Floats

    def __iter__(self) -> Iterator[Floats]:
        """mean, then deviation."""
        yield from (self.mean, self.deviation)

    @classmethod
    def score(cls, values: Floats) -> Prediction:
        """Where nothing is known of the labels' scale."""
        return cls(values, np.full(len(values), np.nan))

    @classmethod
    def of(cls, spread: Floats) -> Prediction:
        """(n, many) equally probable values to their median, and the deviation that makes 90 % of them lie about it."""
        middle = np.median(spread, axis=1)
        away = np.quantile(np.abs(spread - middle[:, None]), 0.9, axis=1)
        return cls(middle, away / HALF_WIDTH_90)


HALF_WIDTH_90 = float(norm.ppf(0.95))  # of the interval that holds 90 %, in deviations
MIN_SUPPORT = 3  # fewer labels than this are as none: a scale cannot be told from them


Arrays = dict[str, NDArray[Any]]
State = tuple[Arrays, dict[str, Any]]


class Model(ABC):
    """Learns from labels of other sets, once, then from a few of the one asked about."""

    name: ClassVar[str]

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    @abstractmethod
    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """sources: sets to carry knowledge over from; may be empty. journal: to resume from."""

    def update(
        self, sources: Sequence[LabelSet], fresh: Sequence[NDArray[np.bool_]], checkpointer: Checkpointer | None = None
    ) -> None:
        """Go on from what was learnt, by labels that came since, with the old ones beside them.

        sources: all sets, known ones under the names they were learnt by. fresh: a set, (n,) which labels are new.
        What it says of known tasks stays the same to the last bit where only new sets have fresh labels.

        Raises ModelError for a model that cannot, or where a known set is missing.
        """
        raise ModelError(f"model {self.name} cannot be refreshed: train it anew, or train default")

    @abstractmethod
    def adapt(self, support: LabelSet) -> None:
        """few: labels of the set in question; may be empty. Takes the place of any earlier adaptation.

        Raises NothingKnownError.
        """

    @abstractmethod
    def predict(self, asked: LabelSet) -> Prediction:
        """For the networks of `asked`, of the same set as `support`. Its values are not read."""

    def state(self) -> State:
        """What was learnt: arrays by name, and what JSON can hold. Raises ModelError for a model that keeps nothing."""
        raise ModelError(f"model {self.name} cannot be kept: it learns anew for every question; train default or aiop")

    @classmethod
    def restore(cls, arrays: Arrays, told: dict[str, Any]) -> Model:
        """Inverse of `state`."""
        raise ModelError(f"model {cls.name} cannot be kept")


def strip_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """Those whose name begins with `prefix`, by the rest of it."""
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


AnyModel = TypeVar("AnyModel", bound=type[Model])
_MODELS: dict[str, type[Model]] = {}


def register(model: AnyModel) -> AnyModel:
    """Make a model known by its name."""
    _MODELS[model.name] = model
    return model


def model_names() -> list[str]:
    """All models, in the order they were registered."""
    return list(_MODELS)


def get_model(name: str) -> type[Model]:
    """A model's class. Raises ModelError."""
    if name not in _MODELS:
        raise ModelError(f"unknown model {name}: choose one of {', '.join(_MODELS)}")
    return _MODELS[name]
