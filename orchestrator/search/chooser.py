"""Ask which architectures to label next, and tell their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from orchestrator.errors import ConfigError
from orchestrator.search.acquisition import BOTH, DIVERSE, MODES, Pick, Situation, select
from orchestrator.search.candidates import Candidates
from orchestrator.search.distances import Floats
from orchestrator.search.seconds import predicted_seconds
from orchestrator.search.surrogate import MIN_SUPPORT, AdaptedModel, Surrogate
from predictor.label_set import COSTS, LabelSet
from predictor.models.base import Prediction
from workers.messages.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Choice:
    """An architecture to label.

    score: of its reason: a distance, or the expected improvement, lowered for likeness to other choices. mean,
    deviation: the predicted label; None without a prediction. flops, params: of the network with its head.
    """

    architecture: Architecture
    reason: str
    score: float
    mean: float | None
    deviation: float | None
    flops: float
    params: float

    @property
    def note(self) -> str:
        """The reason and the score in one line, as stored with an attempt."""
        return f"{self.reason} (score {self.score:.4g})"


@dataclass(frozen=True, slots=True)
class SetName:
    """Of which labels these are, for source tasks of the same task, data set or recipe. recipe: FIDELITY/NAME/HASH."""

    task: str = ""
    data: str = ""
    recipe: str = ""


class Chooser:
    """Chooses what to label next. Equal labels, pending ones, candidates and mode give equal choices.

    An architecture that `ask` returned is pending until `tell`: `ask` does not repeat it, and avoids similar ones.
    """

    def __init__(
        self,
        candidates: Candidates,
        mode: str = BOTH,
        surrogate: Surrogate | None = None,
        name: SetName | None = None,
    ) -> None:
        """mode: diverse, best or both. surrogate: by default the model `default` without source tasks.

        Raises ConfigError for another mode.
        """
        if mode not in MODES:
            raise ConfigError(f"--choose '{mode}': write one of {', '.join(MODES)}")
        self._candidates, self._mode, self._name = candidates, mode, name or SetName()
        self._surrogate = surrogate
        self._values: dict[Architecture, list[float]] = {}
        self._seconds: dict[Architecture, float] = {}
        self._pending: dict[Architecture, None] = {}
        self._failed: set[Architecture] = set()

    @property
    def labels(self) -> int:
        """Number of labelled architectures."""
        return len(self._values)

    def tell(self, architecture: Architecture, value: float | None, seconds: float | None = None) -> None:
        """Add a label; those of several seeds are averaged. seconds: what it took.

        value: None if the label failed and is not to be asked again. Raises ConfigError for one that is not finite.
        """
        if value is not None and not math.isfinite(value):
            raise ConfigError(f"tell {architecture.genotype}: {value} is no label: give a finite number, or None")
        self._pending.pop(architecture, None)
        if value is None:
            self._failed.add(architecture)
            return
        self._values.setdefault(architecture, []).append(value)
        if seconds is not None:
            self._seconds[architecture] = seconds

    def ask(self, count: int = 1) -> list[Choice]:
        """Return up to `count` architectures to label; fewer if no others with graphs of their own are left."""
        networks = self._candidates.networks
        labelled = networks.add(sorted(self._values, key=lambda a: a.id))
        pending = networks.add(sorted(self._pending, key=lambda a: a.id))
        free = self._free_candidates(labelled)
        if not free:
            return []
        prediction = self._predict(labelled, free)
        situation = Situation(
            candidates=networks.statistics(free),
            taken=networks.statistics([*labelled, *pending]),
            pending=networks.statistics(pending),
            mean=None if prediction is None else self._sign * prediction.mean,
            deviation=None if prediction is None else prediction.deviation,
            best=max((self._sign * fmean(self._values[a]) for a in labelled), default=math.nan),
            seconds=self._predict_seconds(free),
        )
        choices = [self._choice(free[pick.row], pick, prediction) for pick in select(situation, self._mode, count)]
        self._pending.update(dict.fromkeys(choice.architecture for choice in choices))
        return choices

    def _free_candidates(self, labelled: Sequence[Architecture]) -> list[Architecture]:
        """Return candidates that are neither labelled nor pending nor failed: samples first, then mutations."""
        found = self._candidates.sampled()
        if self._mode != DIVERSE and len(labelled) >= MIN_SUPPORT:
            best = sorted(labelled, key=lambda a: (-self._sign * fmean(self._values[a]), a.id))
            found = [*found, *self._candidates.mutations(best)]
        used = self._values.keys() | self._pending.keys() | self._failed
        return [a for a in dict.fromkeys(found) if a not in used]

    def _predict(self, labelled: Sequence[Architecture], free: Sequence[Architecture]) -> Prediction | None:
        """Predict the candidates' labels; None with too few labels."""
        if len(labelled) < MIN_SUPPORT:
            return None
        if self._surrogate is None:
            self._surrogate = AdaptedModel()
        values = np.array([fmean(self._values[a]) for a in labelled])
        unknown = np.full(len(free), np.nan)
        return self._surrogate.adapted(self._label_set(labelled, values))(self._label_set(free, unknown))

    def _label_set(self, architectures: Sequence[Architecture], values: Floats) -> LabelSet:
        networks, name = self._candidates.networks, self._name
        ids, space = np.array([a.id for a in architectures], np.str_), self._candidates.space.name
        recipes = (name.recipe,) if name.recipe else ()
        rows = networks.rows(architectures)
        title = f"{space}/{name.task}/{name.data}"
        return LabelSet(title, space, name.task, name.data, ids, values, rows, networks.pool, recipes=recipes)

    def _predict_seconds(self, free: Sequence[Architecture]) -> Floats | None:
        networks = self._candidates.networks
        known = networks.add(sorted(self._seconds, key=lambda a: a.id))
        flops, known_flops = (np.array([networks.cost(a).flops for a in group]) for group in (free, known))
        return predicted_seconds(flops, known_flops, np.array([self._seconds[a] for a in known]))

    @property
    def _sign(self) -> float:
        return -1.0 if self._name.task in COSTS else 1.0

    def _choice(self, architecture: Architecture, pick: Pick, prediction: Prediction | None) -> Choice:
        mean = deviation = None
        if prediction is not None:
            mean, deviation = float(prediction.mean[pick.row]), float(prediction.deviation[pick.row])
        cost = self._candidates.networks.cost(architecture)
        return Choice(architecture, pick.reason, pick.score, mean, deviation, cost.flops, cost.params)
