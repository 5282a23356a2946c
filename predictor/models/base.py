"""The interface of every model that predicts labels, and the registry of models by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from predictor.entry_points import MODELS, load_entry_points, require_free_name
from predictor.errors import AIOPError
from predictor.label_set import Floats, LabelSet

if TYPE_CHECKING:  # it loads torch
    from predictor.networks.fitting import Checkpointer

Arrays = dict[str, NDArray[Any]]
State = tuple[Arrays, dict[str, Any]]  # arrays by name, and what JSON can hold

HALF_WIDTH_90 = float(norm.ppf(0.95))  # half width of the interval that holds 90 %, in standard deviations
MIN_SUPPORT = 3  # minimum number of labels needed to estimate a scale; fewer are ignored


class ModelError(AIOPError):
    """A model that does not exist, or cannot do what was requested."""


class NothingKnownError(ModelError):
    """There are neither labels of the requested set nor source tasks to transfer from."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no labels to predict {name} from: label or import more, or adapt to some of its labels")


@dataclass(frozen=True, slots=True)
class Prediction:
    """mean, deviation: (n,), in the unit of the labels. deviation is NaN where the mean only ranks.

    Unpacks as `mean, deviation = ...`.
    """

    mean: Floats
    deviation: Floats

    def __iter__(self) -> Iterator[Floats]:
        """Yield mean, then deviation."""
        yield from (self.mean, self.deviation)

    @classmethod
    def ranking(cls, scores: Floats) -> Prediction:
        """Return a prediction that only ranks, for labels of unknown scale. scores: (n,), higher is better."""
        return cls(scores, np.full(len(scores), np.nan))

    @classmethod
    def from_quantiles(cls, quantiles: Floats) -> Prediction:
        """Summarise predictive distributions. quantiles: (n, many) equally probable values of each.

        The mean is their median. The deviation is such that the normal 90 % interval holds 90 % of them.
        """
        median = np.median(quantiles, axis=1)
        half_width = np.quantile(np.abs(quantiles - median[:, None]), 0.9, axis=1)
        return cls(median, half_width / HALF_WIDTH_90)


class Model(ABC):
    """Predicts labels of a query set after `fit` on source tasks and `adapt` to a support set of the query's task."""

    name: ClassVar[str]

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    @classmethod
    def variant(cls, settings: Mapping[str, str]) -> type[Model]:
        """Return the class with other settings, for comparisons. Raises ModelError for a setting it does not have."""
        raise ModelError(f"model {cls.name}: has no settings, so leave out '{', '.join(settings)}'")

    @abstractmethod
    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Train on the source tasks, of which there may be none. checkpointer: to resume from."""

    def take_fit(self, other: Model) -> bool:
        """Use what another model was fitted to, if `fit` on the same sources would give the same. Return whether so."""
        return False

    def update(
        self, sources: Sequence[LabelSet], fresh: Sequence[NDArray[np.bool_]], checkpointer: Checkpointer | None = None
    ) -> None:
        """Continue training after labels were added.

        sources: all sets, old labels included; a known set keeps its name. fresh: for each set, (n,) which labels are
        new. If only new sets have fresh labels, predictions for known tasks stay bit-identical.

        Raises ModelError if the model does not support it, or if a known set is missing.
        """
        raise ModelError(f"model {self.name} cannot be refreshed: train it again, or train default")

    def extend(self, sources: Sequence[LabelSet]) -> None:
        """Add label sets to what the model was fitted to, whose labels are not at hand and do not change.

        Later updates get the added sets only, and replace them. Raises ModelError if the model does not support it.
        """
        raise ModelError(f"model {self.name} cannot be extended: train it, or extend default")

    @abstractmethod
    def adapt(self, support: LabelSet) -> None:
        """Condition on labels of the query's set, of which there may be none. Replaces any earlier adaptation.

        Raises NothingKnownError.
        """

    @abstractmethod
    def predict(self, query: LabelSet) -> Prediction:
        """Predict the labels of `query`, of the same set as the support set. Its values are not read."""

    def state(self) -> State:
        """Return the fitted state for `restore`. Raises ModelError for a model that cannot be saved."""
        raise ModelError(f"model {self.name} cannot be saved: it is refitted for every query; train default or aiop")

    @classmethod
    def restore(cls, arrays: Arrays, settings: dict[str, Any]) -> Model:
        """Inverse of `state`."""
        raise ModelError(f"model {cls.name} cannot be saved")


AnyState = TypeVar("AnyState")


def require(state: AnyState | None, model: Model, method: str) -> AnyState:
    """Return `state`. Raises ModelError if it is None because `method` of the model was not called."""
    if state is None:
        raise ModelError(f"model {model.name}: not ready: call {method} first")
    return state


def strip_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose name begins with `prefix`, by the rest of their name."""
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


AnyModel = TypeVar("AnyModel", bound=type[Model])
_MODELS: dict[str, type[Model]] = {}


def register(model: AnyModel) -> AnyModel:
    """Add a model class to the registry. Raises NameTakenError."""
    require_free_name("model", model.name, model, _MODELS)
    _MODELS[model.name] = model
    return model


def model_names() -> list[str]:
    """Return the names of all models, in the order of their registration."""
    load_entry_points(MODELS)
    return list(_MODELS)


def get_model(name: str) -> type[Model]:
    """Return a model's class. A name may have settings: NAME:SETTING=VALUE,SETTING=VALUE.

    Raises ModelError for an unknown name or setting.
    """
    load_entry_points(MODELS)
    model, _, text = name.partition(":")
    if model not in _MODELS:
        raise ModelError(f"unknown model {model}: choose one of {', '.join(_MODELS)}")
    if not text:
        return _MODELS[model]
    settings = dict(part.partition("=")[::2] for part in text.split(","))
    return type(_MODELS[model].__name__, (_MODELS[model].variant(settings),), {"name": name})
