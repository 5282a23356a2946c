"""What the nodes of a Ray cluster have, and which actors fit on them."""

from __future__ import annotations

import importlib
import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from orchestrator.errors import ConfigError
from workers.messages.recipe import Recipe

log = logging.getLogger(__name__)
T = TypeVar("T")

Nodes = Collection[Mapping[str, float]]  # the resources of each node by name, in use or not
_JOIN_S = 600.0  # a machine of a cloud takes minutes to start
_POLL_S = 2.0
_FIELDS = {"CPU": ("cpus", 1.0), "GPU": ("gpus", 1.0), "memory": ("memory_mb", 2.0**20)}  # recipe field and its unit


def cluster_cores() -> float:
    """Return the number of CPU cores of the cluster, in use or not. Ray must be initialised."""
    ray: Any = importlib.import_module("ray")
    return float(dict(ray.cluster_resources()).get("CPU", 1.0))


def node_resources() -> dict[str, Mapping[str, float]]:
    """Return the resources of each node that is alive, in use or not, by node id. Ray must be initialised."""
    ray: Any = importlib.import_module("ray")
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def actors_that_fit(needs: Mapping[str, float], nodes: Iterable[Mapping[str, float]]) -> int:
    """Return how many actors with these needs, by resource, fit on the nodes; an actor runs on one node."""
    return sum(math.floor(min(node.get(kind, 0.0) / needed for kind, needed in needs.items())) for node in nodes)


def actors_in_the_way(needs: Mapping[str, float], cpus: float, nodes: Nodes) -> int:
    """Return how many actors must stop to free `cpus` cores on one node, the node where that costs the fewest.

    If no node has that many cores, all actors must stop.
    """
    whole = actors_that_fit(needs, nodes)
    remaining = (
        whole - actors_that_fit(needs, [node]) + actors_that_fit(needs, [{**node, "CPU": node.get("CPU", 0.0) - cpus}])
        for node in nodes
        if node.get("CPU", 0.0) >= cpus
    )
    return whole - max(remaining, default=0)


def most_resources(recipes: Iterable[Recipe]) -> dict[str, float]:
    """Return the largest amount of each resource that any of the recipes needs."""
    needs = [recipe.resources for recipe in recipes]
    names = dict.fromkeys(name for need in needs for name in need)
    return {name: max(need.get(name, 0.0) for need in needs) for name in names}


def check_recipe_fits(recipe: Recipe, nodes: Nodes) -> None:
    """Raise ConfigError if an actor of the recipe fits on none of the nodes."""
    for kind, needed in recipe.resources.items():
        if needed > (largest := max((node.get(kind, 0.0) for node in nodes), default=0.0)):
            field, unit = _FIELDS[kind]
            remedy = f"choose another recipe, lower it with --set {field}=N, or use larger nodes"
            raise ConfigError(
                f"recipe {recipe.name} needs {_amount(kind, needed)} per worker, the largest node has "
                f"{largest / unit:g}: {remedy}"
            )
    if actors_that_fit(recipe.resources, nodes) < 1:
        wanted = " and ".join(_amount(kind, needed) for kind, needed in recipe.resources.items())
        raise ConfigError(f"recipe {recipe.name} needs {wanted} per worker, no node has all of it: use larger nodes")


def nodes_that_hold(recipes: Collection[Recipe]) -> Nodes:
    """Return all nodes, once an actor of each recipe fits on one of them. See `wait_for_nodes`."""

    def fit(nodes: Nodes) -> Nodes:
        for recipe in recipes:
            check_recipe_fits(recipe, nodes)
        return nodes

    return wait_for_nodes(fit, [recipe.resources for recipe in recipes])


def wait_for_nodes(fit: Callable[[Nodes], T], wanted: Collection[Mapping[str, float]]) -> T:
    """Return `fit(nodes)` for the nodes that are alive. Ray must be initialised.

    fit: raises ConfigError if the nodes do not suffice. Then a cluster's autoscaler is asked for nodes with the
    `wanted` resources, and `fit` is tried again for ten minutes. A local Ray gets no further nodes.

    Raises the last ConfigError of `fit`.
    """
    end = time.monotonic() + (_JOIN_S if os.environ.get("RAY_ADDRESS") else 0.0)
    asked = False
    try:
        while True:
            try:
                return fit(node_resources().values())
            except ConfigError as error:
                if time.monotonic() >= end:
                    raise
                if not asked:
                    log.warning("%s; waiting up to %d minutes for nodes that join", error, _JOIN_S / 60)
                    _ask_for_nodes(wanted)
                    asked = True
            time.sleep(_POLL_S)
    finally:
        if asked:
            _ask_for_nodes([])


def _ask_for_nodes(wanted: Collection[Mapping[str, float]]) -> None:
    """Ask the autoscaler for nodes with these resources. This replaces the previous request."""
    sdk: Any = importlib.import_module("ray.autoscaler.sdk")
    sdk.request_resources(bundles=[dict(needs) for needs in wanted])


def _amount(kind: str, needed: float) -> str:
    return f"{needed / _FIELDS[kind][1]:g} {'MB of memory' if kind == 'memory' else kind}"
