"""A trained predictor, as users of the library hold it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictor.features.graph_pool import GraphPool
from predictor.generation import Generation, read_generation, write_generation
from predictor.graph.structure import Graph
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata
from predictor.models import Model, ModelError, Prediction, get_model
from predictor.models.base import MIN_SUPPORT, Arrays, strip_prefix

if TYPE_CHECKING:  # it loads torch
    from predictor.networks.fitting import Checkpointer

_Asked = tuple[str, str]  # task, data
_Adapted = tuple[str, str, tuple[str, ...]]  # and recipes
_OWN = "adapted"  # data of labels that came with no name


class Predictor:
    """What a generation has learnt, and the few labels it was adapted to since.

    metadata: of the generation it was trained or loaded as.
    """

    def __init__(
        self, model: Model, metadata: GenerationMetadata, support: Mapping[_Asked, LabelSet] | None = None
    ) -> None:
        self._model, self.metadata, self._few = model, metadata, dict(support or {})
        self._adapted_to: _Adapted | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """A generation from its folder. Raises GenerationError, in one line, for a folder that is none, is of another
        version, or was changed since it was written.
        """
        generation = read_generation(Path(folder))
        arrays, metadata = generation.arrays, generation.metadata
        model = get_model(metadata.model).restore(strip_prefix(arrays, "model."), generation.model_state)
        support = {}
        for number, entry in enumerate(generation.support):
            support[entry["task"], entry["data"]] = _restored(strip_prefix(arrays, f"few.{number}."), entry)
        return cls(model, metadata, support)

    def save(self, folder: str | Path) -> None:
        """Write it as a generation, whole or not at all. Raises GenerationError where that is not possible."""
        arrays, learnt = self._model.state()
        kept = {f"model.{name}": value for name, value in arrays.items()}
        support = []
        for number, labels in enumerate(self._few.values()):
            kept |= {
                f"few.{number}.{name}": value
                for name, value in (labels.pool.to_arrays() | {"values": labels.values}).items()
            }
            support.append({"name": labels.name, "task": labels.task, "data": labels.data})
        metadata = replace(self.metadata, model=self._model.name)
        write_generation(Path(folder), Generation(metadata, learnt, support, kept))

    @property
    def known(self) -> list[_Asked]:
        """(task, data) of what it can predict in the task's metric, those with most labels first."""
        counts = Counter[_Asked]()
        for learned in self.metadata.sets:
            counts[learned.task, learned.data] += learned.labels
        return list(dict.fromkeys([*self._few, *(asked for asked, _ in counts.most_common())]))

    def predict(self, graphs: Sequence[Graph], task: str, data: str | None = None) -> Prediction:
        """mean, deviation: (n,), in the task's metric, of networks of body and head.

        data: which data set's labels are meant; by default that of the task with most labels, or the last adapted to.
        Raises ModelError for a task or data set without any label.
        """
        pool = GraphPool.of(graphs)
        found = self._data_of(task, data)
        names = np.array([f"asked-{number}" for number in range(len(pool))])
        asked = LabelSet("asked", "", task, found, names, np.full(len(pool), np.nan), np.arange(len(pool)), pool)
        return self.predict_set(asked)

    def predict_set(self, asked: LabelSet) -> Prediction:
        """The same for graphs that are numbers already."""
        key = asked.task, asked.data, asked.recipes
        if self._adapted_to != key:
            self._model.adapt(self._few.get(key[:2], asked.take(np.arange(0))))
            self._adapted_to = key
        return self._model.predict(asked)

    def adapt(self, graphs: Sequence[Graph], values: ArrayLike, task: str, data: str = _OWN) -> Predictor:
        """Another predictor, which knows labels of a task, data set or space that this one has not learnt.

        values: (n,), at least 3. Seconds, and nothing of this one changes. Raises ModelError for unusable labels.
        """
        measured = np.asarray(values, np.float64)
        if measured.shape != (len(graphs),):
            raise ModelError(f"adapt: {len(graphs)} graphs and values of shape {measured.shape}: give one a graph")
        if len(graphs) < MIN_SUPPORT or not np.isfinite(measured).all():
            raise ModelError(f"adapt: needs at least {MIN_SUPPORT} labels, all of them finite numbers")
        pool, names = GraphPool.of(graphs), np.array([f"few-{number}" for number in range(len(graphs))])
        labels = LabelSet(f"{task}/{data}", "", task, data, names, measured, np.arange(len(pool)), pool)
        return Predictor(copy.copy(self._model), self.metadata, {(task, data): labels} | self._few)

    def update(
        self,
        sets: Sequence[LabelSet],
        fresh: Sequence[NDArray[np.bool_]],
        metadata: GenerationMetadata,
        checkpointer: Checkpointer,
    ) -> Predictor:
        """Another predictor, which has learnt from labels that came since, too.

        sets, fresh: as `Model.update` takes them. metadata: of the new predictor. checkpointer: to resume from.
        """
        model = copy.deepcopy(self._model)
        model.update(sets, fresh, checkpointer)
        return Predictor(model, metadata, self._few)

    def _data_of(self, task: str, data: str | None) -> str:
        found = [of for known, of in self.known if known == task]
        if data is None and found:
            return found[0]
        if data is None or data not in found:
            what = f"task {task}" if not found else f"task {task} on {data}"
            there = ", ".join(f"{known} on {of}" for known, of in self.known)
            raise ModelError(f"{what}: no labels known, only of {there}: adapt it with a few, or train on some")
        return data


def _restored(arrays: Arrays, told: Mapping[str, str]) -> LabelSet:
    pool, count = GraphPool.from_arrays(arrays), len(arrays["values"])
    names = np.array([f"few-{number}" for number in range(count)])
    return LabelSet(told["name"], "", told["task"], told["data"], names, arrays["values"], np.arange(count), pool)
