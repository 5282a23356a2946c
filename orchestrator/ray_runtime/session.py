"""Join or start the Ray cluster of a command, and compute what fits on it."""

from __future__ import annotations

import importlib
import logging
import math
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError
from workers.messages.recipe import Recipe

_CONNECT_S = 5.0
_FIELDS = {"CPU": ("cpus", 1.0), "GPU": ("gpus", 1.0), "memory": ("memory_mb", 2.0**20)}  # recipe field and its unit


@contextmanager
def ray_session(modules: Sequence[Path] = ()) -> Iterator[str | None]:
    """Join the cluster of RAY_ADDRESS, or start a local Ray, until the block ends; yields the dashboard's address.

    Inside another session it joins that one, which continues afterwards. modules: packages or Python files that a
    cluster's machines get a copy of. Raises ConfigError if that fails.
    """
    ray: Any = importlib.import_module("ray")  # takes seconds to import, and is not needed if there is no work
    if ray.is_initialized():
        yield ray.init(ignore_reinit_error=True).dashboard_url or None
        return
    address = os.environ.get("RAY_ADDRESS")
    copied = {"runtime_env": {"py_modules": [str(path) for path in modules]}} if address and modules else {}
    try:
        check_reachable(address)
        context = ray.init(
            address=address, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False, **copied
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"RAY_ADDRESS={address}" if address else "a local Ray"
        text = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where} cannot be used ({text}): start the cluster, or unset RAY_ADDRESS") from None
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def check_reachable(address: str | None) -> None:
    """Raise OSError if HOST:PORT cannot be reached: Ray would retry for two minutes. Other forms are not checked."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and port.isascii() and len(port) < 6 and int(port) < 2**16 and "/" not in host:
        socket.create_connection((host, int(port)), _CONNECT_S).close()


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


def actors_in_the_way(needs: Mapping[str, float], cpus: float, nodes: Collection[Mapping[str, float]]) -> int:
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


def check_recipe_fits(recipe: Recipe, nodes: Collection[Mapping[str, float]]) -> None:
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


def _amount(kind: str, needed: float) -> str:
    return f"{needed / _FIELDS[kind][1]:g} {'MB of memory' if kind == 'memory' else kind}"
