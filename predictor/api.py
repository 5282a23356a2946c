"""The trained predictor: the entry point of the library."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictor import shipped
from predictor.errors import AIOPError, one_line
from predictor.features.graph_pool import GraphPool
from predictor.features.statistics import statistics_table
from predictor.generation import Generation, GenerationError, read_generation, write_generation
from predictor.graph.structure import Graph
from predictor.label_set import LabelSet
from predictor.metadata import GenerationMetadata
from predictor.models import Model, ModelError, Prediction, get_model
from predictor.models.base import MIN_SUPPORT, Arrays, strip_prefix
from predictor.networks.fitting import Checkpointer
from predictor.reference_graphs import (
    ReferenceGraphs,
    TaskData,
    Widening,
    reference_graphs,
    references_from_arrays,
    references_to_arrays,
)

_AdaptedTo = tuple[str, str, tuple[str, ...], str]  # task, data set, recipes and name of the label set
_DEFAULT_DATA = "adapted"  # data set of support labels that were given without a name


class Predictor:
    """A fitted model, and the support sets it was adapted to since.

    metadata: of the generation it was trained or loaded as. references: the training graphs of each task and data set,
    from which distances are measured. widening: of the intervals of distant networks; None for generations without.
    """

    def __init__(
        self,
        model: Model,
        metadata: GenerationMetadata,
        support: Mapping[TaskData, LabelSet] | None = None,
        references: Mapping[TaskData, ReferenceGraphs] | None = None,
        widening: Widening | None = None,
    ) -> None:
        self._model, self.metadata, self._support = model, metadata, dict(support or {})
        self._references, self.widening = dict(references or {}), widening
        self._adapted_to: _AdaptedTo | None = None

    @classmethod
    def load(cls, folder: str | Path = shipped.FOLDER) -> Predictor:
        """Load a generation from its folder; by default the one that comes with the package.

        Raises GenerationError, in one line, for a folder that has no generation, has one of another version, or was
        changed after it was written.
        """
        generation = read_generation(Path(folder))
        try:
            return cls._restored(generation)
        except AIOPError:
            raise
        except Exception as error:  # the content fits its checksum, but is not that of a predictor
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise GenerationError(f"predictor {folder}: cannot be restored ({reason}): train it again") from error

    @classmethod
    def _restored(cls, generation: Generation) -> Predictor:
        arrays, metadata = generation.arrays, generation.metadata
        model = get_model(metadata.model).restore(strip_prefix(arrays, "model."), generation.model_state)
        support = {}
        for number, entry in enumerate(generation.support):
            support[entry["task"], entry["data"]] = _restore_support(strip_prefix(arrays, f"few.{number}."), entry)
        references = references_from_arrays(arrays, generation.references)
        widening = Widening(**generation.widening) if generation.widening else None
        return cls(model, metadata, support, references, widening)

    def save(self, folder: str | Path) -> None:
        """Write a generation, as a whole or not at all. Raises GenerationError if that is not possible."""
        model_arrays, model_state = self._model.state()
        arrays = {f"model.{name}": value for name, value in model_arrays.items()}
        support = []
        for number, labels in enumerate(self._support.values()):
            parts = labels.pool.to_arrays() | {"values": labels.values}
            arrays |= {f"few.{number}.{name}": value for name, value in parts.items()}
            support.append({"name": labels.name, "task": labels.task, "data": labels.data})
        tables, references = references_to_arrays(self._references)
        metadata = replace(self.metadata, model=self._model.name)
        widening = asdict(self.widening) if self.widening else {}
        generation = Generation(metadata, model_state, support, arrays | tables, references, widening)
        write_generation(Path(folder), generation)

    @property
    def known(self) -> list[TaskData]:
        """(task, data set) of all labels, for which predictions are in the task's metric; those with most labels first.

        Support sets come before the sets it was trained on.
        """
        counts = Counter[TaskData]()
        for learned in self.metadata.sets:
            counts[learned.task, learned.data] += learned.labels
        return list(dict.fromkeys([*self._support, *(key for key, _ in counts.most_common())]))

    def predict(
        self,
        graphs: Sequence[Graph],
        task: str,
        data: str | None = None,
        recipes: Sequence[str] = (),
        set_name: str = "query",
    ) -> Prediction:
        """Return mean and deviation, (n,), in the task's metric. graphs: of whole networks, backbone and head.

        data: data set of the labels; by default the one last adapted to, or the one with most labels of the task.
        recipes: of the labels, as FIDELITY/NAME/HASH; by default all. set_name: of the label set that is meant, if sets
        of equal recipes have other units, such as detectors of different methods. The deviation of a network that is
        unlike the training graphs is widened, see `distances`. Raises ModelError for a task or data set without labels.
        """
        pool = GraphPool.of(graphs)
        data = self.default_data(task, data)
        names, values = np.array([f"query-{number}" for number in range(len(pool))]), np.full(len(pool), np.nan)
        query = LabelSet(
            set_name, "", task, data, names, values, np.arange(len(pool)), pool, recipes=tuple(sorted(recipes))
        )
        prediction, reference = self.predict_set(query), self._reference(task, data)
        if reference is None or self.widening is None:
            return prediction
        factors = self.widening.factors(reference.distances(pool.statistics))
        return Prediction(prediction.mean, prediction.deviation * factors)

    def distances(self, graphs: Sequence[Graph], task: str, data: str | None = None) -> NDArray[np.float64] | None:
        """Return (n,) how far graphs are from the training graphs; more than 1 is unlike them.

        See `ReferenceGraphs.distances`. None if no training graphs of the task and data set are stored: there were too
        few, it was adapted to them, or the generation is of version 0.1. Raises ModelError for a task or data set
        without labels.
        """
        reference = self._reference(task, self.default_data(task, data))
        return None if reference is None else reference.distances(statistics_table(graphs))

    def predict_set(self, query: LabelSet) -> Prediction:
        """Predict the labels of a set, whose graphs are encoded already."""
        key = query.task, query.data, query.recipes, query.name
        if self._adapted_to != key:
            self._model.adapt(self._support.get(key[:2], query.take(np.arange(0))))
            self._adapted_to = key
        return self._model.predict(query)

    def adapt(self, graphs: Sequence[Graph], values: ArrayLike, task: str, data: str = _DEFAULT_DATA) -> Predictor:
        """Return another predictor, adapted to labels of a new task, data set or space. This one does not change.

        values: (n,), at least 3. It takes seconds. Raises ModelError for unusable labels.
        """
        measured = np.asarray(values, np.float64)
        if measured.shape != (len(graphs),):
            raise ModelError(f"adapt: {len(graphs)} graphs and values of shape {measured.shape}: give one per graph")
        if len(graphs) < MIN_SUPPORT or not np.isfinite(measured).all():
            raise ModelError(f"adapt: needs at least {MIN_SUPPORT} labels, all of which must be finite numbers")
        return self.adapt_to_set(_support_set(f"{task}/{data}", task, data, GraphPool.of(graphs), measured))

    def adapt_to_set(self, support: LabelSet) -> Predictor:
        """Return another predictor for the set's task and data set, like `adapt`, from graphs that are encoded already.

        support: at least 3 finite labels. `predict_set` answers for queries of the same set.
        """
        sets = {(support.task, support.data): support}
        sets |= {key: labels for key, labels in self._support.items() if key not in sets}
        return Predictor(copy.copy(self._model), self.metadata, sets, self._references, self.widening)

    def update(
        self,
        sets: Sequence[LabelSet],
        fresh: Sequence[NDArray[np.bool_]],
        metadata: GenerationMetadata,
        checkpointer: Checkpointer,
    ) -> Predictor:
        """Return another predictor, trained further on labels that were added. This one does not change.

        sets, fresh: see `Model.update`. metadata: of the new predictor. checkpointer: to resume from.
        """
        model = copy.deepcopy(self._model)
        model.update(sets, fresh, checkpointer)
        base = tuple(known for known in self.metadata.sets if known.base)
        references = {key: self._references[key] for key in {(s.task, s.data) for s in base} & set(self._references)}
        metadata = replace(metadata, sets=(*base, *metadata.sets))
        return Predictor(model, metadata, self._support, references | reference_graphs(sets), self.widening)

    def extend(self, sets: Sequence[LabelSet], metadata: GenerationMetadata) -> Predictor:
        """Return another predictor that has more label sets, without the labels of the sets of this one.

        It takes seconds. Predictions for the known sets change only where new sets are related. metadata: of the added
        sets; those known are marked as the base, unless an added set is of the same kind. Raises ModelError.
        """
        model = copy.deepcopy(self._model)
        model.extend(sets)
        added = metadata.sets
        base = (
            replace(known, base=True) for known in self.metadata.sets if not any(known.is_same_set(s) for s in added)
        )
        metadata = replace(metadata, model=model.name, sets=(*base, *metadata.sets))
        references = self._references | reference_graphs(sets)
        return Predictor(model, metadata, self._support, references, self.widening)

    def default_data(self, task: str, data: str | None = None) -> str:
        """Return the data set that `predict` answers for. Raises ModelError for a task or data set without labels."""
        known = [known_data for known_task, known_data in self.known if known_task == task]
        if data is None and known:
            return known[0]
        if data is None or data not in known:
            requested = f"task {task} on {data}" if known else f"task {task}"
            listed = ", ".join(f"{known_task} on {known_data}" for known_task, known_data in self.known)
            raise ModelError(
                f"{requested}: there are no labels, only of {listed}: adapt it to a few labels, or train on some"
            )
        return data

    def _reference(self, task: str, data: str) -> ReferenceGraphs | None:
        """Return the training graphs; None after `adapt`, because the support set is nearer to what is asked."""
        return None if (task, data) in self._support else self._references.get((task, data))


def _support_set(name: str, task: str, data: str, pool: GraphPool, values: NDArray[np.float64]) -> LabelSet:
    """Return labels of all graphs in a pool, in its order."""
    names = np.array([f"support-{number}" for number in range(len(values))])
    return LabelSet(name, "", task, data, names, values, np.arange(len(values)), pool)


def _restore_support(arrays: Arrays, entry: Mapping[str, str]) -> LabelSet:
    pool = GraphPool.from_arrays(arrays)
    return _support_set(entry["name"], entry["task"], entry["data"], pool, arrays["values"])
