"""Compare networks that a user's function builds now with those that a store has labels of."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.store.base import LabelStore
from predictor.cost import Cost, measure_cost
from predictor.graph import trace
from workers.data import open_data
from workers.messages.label import LabelRequest
from workers.spaces import get_space
from workers.spaces.declared import DeclaredSpace
from workers.tasks import get_task
from workers.training.full import build_network

_COMPARED = 4  # networks; each takes about a tenth of a second


def check_function_unchanged(store: LabelStore, request: LabelRequest) -> None:
    """Raise ConfigError if a declared space builds other networks than when the store's labels were made.

    Parameters and FLOPs of a few labelled networks are compared. A change that keeps both is not noticed. request: any
    of the campaign. Nothing is compared for spaces that no user declared.
    """
    space = get_space(request.architecture.space)
    if not isinstance(space, DeclaredSpace):
        return
    rows = [row for row in _labels_like(store, request) if _is_of(space, row)]
    for row in rows[:: max(1, len(rows) // _COMPARED)][:_COMPARED]:
        now, then = _cost(space, request, row), Cost(row["flops"], row["params"])
        if now != then:
            raise ConfigError(
                f"space {space.name}: {space.declaration.build} builds another network for {row['genotype']} than "
                f"the labelled one, with {now.params:.0f} parameters and {now.flops:.0f} FLOPs instead "
                f"of {then.params:.0f} and {then.flops:.0f}: raise `version` in the YAML file, or use another --store"
            )


def _labels_like(store: LabelStore, request: LabelRequest) -> list[dict[str, Any]]:
    """Return the labels that may be ranked with the one requested, by architecture."""
    rows = store.labels(space=request.architecture.space, task=request.task, fidelity=request.fidelity).to_pylist()
    same = [r for r in rows if (r["recipe_hash"], r["fingerprint"]) == (request.recipe.hash, request.fingerprint)]
    return sorted({row["architecture"]: row for row in same}.values(), key=lambda row: str(row["architecture"]))


def _is_of(space: DeclaredSpace, row: dict[str, Any]) -> bool:
    """Return whether a label is of this declaration of the space, not of an earlier one."""
    return bool(space.architecture(json.loads(row["genotype"])).id == row["architecture"])


def _cost(space: DeclaredSpace, request: LabelRequest, row: dict[str, Any]) -> Cost:
    """Return the cost of a label's network, backbone and head, as the label has it."""
    task, recipe = get_task(request.task), request.recipe
    vocabulary = open_data(request.data, request.task).vocabulary(request.task)
    network = build_network(space.architecture(json.loads(row["genotype"])), recipe, task, vocabulary)
    if request.fidelity == "proxy":
        return measure_cost(network, (3, *recipe.input_size))
    graph = trace(network, (3, *recipe.input_size))
    return Cost(float(graph.flops), float(graph.params))
