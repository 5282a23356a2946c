"""Record with a generation how the networks of its labels are built: recipe, and numbers of classes and joints.

A store has the recipe of each label, but not the classes of its data set. They are found from a label: the parameters
and FLOPs of a network are linear in the numbers of things, stuff and joints, so those that the label records belong to
one choice of numbers only. It is checked by building that network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from orchestrator.predictors.label_sets import IDENTITY_COLUMNS, LabelSetIdentity
from orchestrator.store.base import LabelStore
from predictor.errors import AIOPError
from predictor.graph import trace
from predictor.label_set import COSTS
from predictor.metadata import GenerationMetadata, LabelledNetworks, LearnedSet
from workers.data import Vocabulary, open_data
from workers.messages.architecture import Architecture
from workers.messages.measured_recipe import FIDELITY as MEASURED
from workers.messages.measured_recipe import MeasuredRecipe
from workers.messages.published_recipe import FIDELITY as PUBLISHED
from workers.messages.recipe import NETWORK_FIELDS, Recipe
from workers.spaces import get_space
from workers.tasks import get_task
from workers.training.full import Network, build_network

_PROBE = 2  # things, stuff and joints of the first network that is compared with a label


@dataclass(frozen=True, slots=True)
class VocabularySize:
    """Numbers of the vocabulary of a data set. classes: things and stuff."""

    classes: int
    things: int
    joints: int

    def vocabulary(self) -> Vocabulary:
        """Return a vocabulary of this size, with numbers as names."""
        names = tuple(f"class {number}" for number in range(self.classes))
        return Vocabulary(names, self.things, tuple(f"joint {number}" for number in range(self.joints)))


def build_for_task(
    architecture: Architecture, recipe: Recipe, task: str, size: VocabularySize, device: str = "meta"
) -> Network:
    """Build the network of a label, by default on the meta device, without pretrained weights.

    task: of the label; another one than the recipe's for a companion task, and for a cost of the network such as its
    latency. Raises AIOPError.
    """
    body = {name: value for name, value in recipe.body.items() if name != "pretrained"}
    recipe = recipe.model_copy(update={"body": body, "body_fingerprint": ""})
    owner = get_task(recipe.task)
    with torch.device(device):
        network = build_network(architecture, recipe, owner, size.vocabulary())
        if task in COSTS or recipe.task == task:
            return network
        return Network(network.body, owner.companion_head(network.head, task), network.normalise)


def record_networks(
    metadata: GenerationMetadata, store: LabelStore, known: Sequence[LearnedSet] = ()
) -> GenerationMetadata:
    """Return the metadata with `networks` of all sets, from the labels of its version of the store.

    known: sets of an earlier generation, whose numbers of classes are used again.
    """
    rows = _first_rows(store, metadata.version)
    sizes = {(s.task, s.data): size for s in known if (size := recorded_size(s)) is not None}
    sets = []
    for learned in metadata.sets:
        row, key = rows.get(learned.kind), (learned.task, learned.data)
        if row is None:
            sets.append(learned)
            continue
        if row["fidelity"] == MEASURED:
            sets.append(replace(learned, networks=_measured_networks(row)))
            continue
        if key not in sizes and (found := _size_of(row)) is not None:
            sizes[key] = found
        recipe, size = _network_fields(row), sizes.get(key)
        numbers = {} if size is None else {"classes": size.classes, "things": size.things, "joints": size.joints}
        sets.append(replace(learned, networks=LabelledNetworks(recipe=recipe, **numbers)))
    return replace(metadata, sets=tuple(sets))


def _network_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = json.loads(row["recipe"])
    return {name: fields[name] for name in NETWORK_FIELDS if name in fields}


def _measured_networks(row: Mapping[str, Any]) -> LabelledNetworks:
    """Return how the network of a measured cost is built: its recipe has the numbers, whatever is measured with it."""
    recipe = MeasuredRecipe.model_validate_json(row["recipe"])
    return LabelledNetworks(
        recipe=_network_fields(row), classes=recipe.classes, things=recipe.things, joints=recipe.joints
    )


def recorded_size(learned: LearnedSet) -> VocabularySize | None:
    """Return the numbers of a set's data set; None if they were not recorded."""
    networks = learned.networks
    if networks is None or networks.classes is None or networks.things is None or networks.joints is None:
        return None
    return VocabularySize(networks.classes, networks.things, networks.joints)


def data_size(data: str, task: str) -> VocabularySize:
    """Return the numbers of a data set on this machine. Raises DataError and UnknownNameError."""
    vocabulary = open_data(data, task).vocabulary(task)
    return VocabularySize(len(vocabulary.classes), vocabulary.things, len(vocabulary.joints))


def _first_rows(store: LabelStore, version: int) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return one label of each set, by the set's kind: the network with the fewest FLOPs, which is built fastest."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    columns = [*IDENTITY_COLUMNS, "genotype", "flops", "params", "key"]
    labels = store.labels(version=version, columns=[*columns, "recipe"])
    for index, row in enumerate(labels.select(columns).to_pylist()):
        if row["fidelity"] == "proxy":
            continue
        identity = LabelSetIdentity.of_label(row)
        for kind in {identity.to_kind(), identity.without_metric().to_kind()}:  # generations may not record metrics
            if kind not in rows or (row["flops"], row["key"]) < (rows[kind]["flops"], rows[kind]["key"]):
                rows[kind] = row | {"index": index}
    for row in rows.values():
        row["recipe"] = labels.column("recipe")[row["index"]].as_py()
    return rows


def _size_of(row: Mapping[str, Any]) -> VocabularySize | None:
    """Return the numbers of the data set of a label; None if it is published or they cannot be found out."""
    if row["fidelity"] == PUBLISHED:
        return None
    recipe = Recipe.model_validate(_network_fields(row))
    try:
        space = get_space(row["space"])
        architecture = space.architecture(json.loads(row["genotype"]))

        def cost(size: VocabularySize) -> tuple[float, float]:
            graph = trace(build_for_task(architecture, recipe, row["task"], size), (3, *recipe.input_size))
            return float(graph.params), float(graph.flops)

        if (found := size_from_cost(cost, (row["params"], row["flops"]))) is not None:
            return found
    except AIOPError:  # the space is declared in a file that this process does not know, or has changed since
        pass
    try:
        return data_size(row["data"], row["task"])
    except AIOPError:  # the data set is not on this machine
        return None


def size_from_cost(
    cost_of: Callable[[VocabularySize], tuple[float, float]], labelled: tuple[float, float]
) -> VocabularySize | None:
    """Return the numbers with which a network has exactly the parameters and FLOPs `labelled`; None if there are none.

    cost_of: returns parameters and FLOPs with a vocabulary. Where things and stuff cost the same, all are things.
    """
    wanted = np.array(labelled)

    def cost(things: int, stuff: int, joints: int) -> np.ndarray:
        return np.array(cost_of(VocabularySize(things + stuff, things, joints)), np.float64)

    base = cost(_PROBE, _PROBE, _PROBE)
    steps = np.array([cost(*(_PROBE + (axis == other) for other in range(3))) for axis in range(3)]) - base
    same = bool((steps[0] == steps[1]).all())  # a class costs the same whether it is a thing or not
    origin = np.array([2 * _PROBE, 0, _PROBE] if same else [_PROBE] * 3)
    free = [axis for axis in range(3) if steps[axis].any() and not (same and axis == 1)]
    unit = np.maximum(np.abs(steps).max(axis=0), 1.0)
    numbers = np.zeros(3, np.int64)
    numbers[free] = np.rint(origin[free] + np.linalg.lstsq((steps[free] / unit).T, (wanted - base) / unit)[0])
    if (numbers < 0).any() or not np.array_equal(cost(*numbers.tolist()), wanted):
        return None
    things, stuff, joints = numbers.tolist()
    return VocabularySize(things + stuff, things, joints)
