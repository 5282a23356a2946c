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
from workers.recipe import Recipe

_ANSWER_S = 5.0


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


def actors_that_fit(cpus: float, gpus: float, nodes: Iterable[Mapping[str, float]]) -> int:
    """How many actors of so many cores and GPUs the nodes hold; no actor spans two of them."""
    needs = {kind: needed for kind, needed in (("CPU", cpus), ("GPU", gpus)) if needed}
    return sum(math.floor(min(node.get(kind, 0.0) / needed for kind, needed in needs.items())) for node in nodes)


def check_recipe_fits(recipe: Recipe, nodes: Collection[Mapping[str, float]]) -> None:
    """Raise ConfigError where no node has room for an actor of the recipe."""
    for field, kind, needed in (("cpus", "CPU", recipe.cpus), ("gpus", "GPU", recipe.gpus)):
        if needed > (there := max((node.get(kind, 0.0) for node in nodes), default=0.0)):
            remedy = f"choose another recipe, lower it with --set {field}=N, or use larger nodes"
            raise ConfigError(
                f"recipe {recipe.name} needs {needed:g} {kind} a worker, the largest node has {there:g}: {remedy}"
            )
    if actors_that_fit(recipe.cpus, recipe.gpus, nodes) < 1:
        wanted = f"{recipe.cpus:g} CPU and {recipe.gpus:g} GPU"
        raise ConfigError(f"recipe {recipe.name} needs {wanted} a worker, no node has both: use larger nodes")
