"""The Ray cluster that a command works on: joined or started, and what fits on it."""

from __future__ import annotations

import importlib
import logging
import math
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator.errors import ConfigError
from workers.messages.recipe import Recipe

_ANSWER_S = 5.0
_FIELDS = {"CPU": ("cpus", 1.0), "GPU": ("gpus", 1.0), "memory": ("memory_mb", 2.0**20)}  # of a recipe, and its unit


@contextmanager
def ray_session() -> Iterator[str | None]:
    """Join the cluster of RAY_ADDRESS, or start a local one; gives the dashboard's address."""
    ray: Any = importlib.import_module("ray")  # seconds to import, and not needed when nothing is to be done
    address = os.environ.get("RAY_ADDRESS")
    try:
        check_answers(address)
        context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"RAY_ADDRESS={address}" if address else "a local Ray"
        text = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where} cannot be used ({text}): start the cluster, or unset RAY_ADDRESS") from None
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def check_answers(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for two minutes. Other forms are Ray's."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), _ANSWER_S).close()


def cluster_cores() -> float:
    """CPU cores that the cluster has to give; Ray must be initialised."""
    ray: Any = importlib.import_module("ray")
    return float(dict(ray.cluster_resources()).get("CPU", 1.0))


def node_resources() -> dict[str, Mapping[str, float]]:
    """What each living node has, used or not, by its id; Ray must be initialised."""
    ray: Any = importlib.import_module("ray")
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def actors_that_fit(needs: Mapping[str, float], nodes: Iterable[Mapping[str, float]]) -> int:
    """How many actors that need so much of each resource the nodes hold; no actor spans two of them."""
    return sum(math.floor(min(node.get(kind, 0.0) / needed for kind, needed in needs.items())) for node in nodes)


def actors_in_the_way(needs: Mapping[str, float], cpus: float, nodes: Collection[Mapping[str, float]]) -> int:
    """How many of all actors that fit must go for so many cores on one node, the node where that costs fewest.

    Where no node has so many cores, as if the largest gave all it has.
    """
    whole = actors_that_fit(needs, nodes)
    left = (
        whole - actors_that_fit(needs, [node]) + actors_that_fit(needs, [{**node, "CPU": node.get("CPU", 0.0) - cpus}])
        for node in nodes
        if node.get("CPU", 0.0) >= cpus
    )
    return whole - max(left, default=0)


def check_recipe_fits(recipe: Recipe, nodes: Collection[Mapping[str, float]]) -> None:
    """Raise ConfigError where no node has room for an actor of the recipe."""
    for kind, needed in recipe.resources.items():
        if needed > (there := max((node.get(kind, 0.0) for node in nodes), default=0.0)):
            field, unit = _FIELDS[kind]
            remedy = f"choose another recipe, lower it with --set {field}=N, or use larger nodes"
            raise ConfigError(
                f"recipe {recipe.name} needs {_amount(kind, needed)} a worker, the largest node has "
                f"{there / unit:g}: {remedy}"
            )
    if actors_that_fit(recipe.resources, nodes) < 1:
        wanted = " and ".join(_amount(kind, needed) for kind, needed in recipe.resources.items())
        raise ConfigError(f"recipe {recipe.name} needs {wanted} a worker, no node has all: use larger nodes")


def _amount(kind: str, needed: float) -> str:
    return f"{needed / _FIELDS[kind][1]:g} {'MB of memory' if kind == 'memory' else kind}"
