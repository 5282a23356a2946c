"""The Ray cluster that a command works on: joined or started, and what fits on it."""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator.errors import ConfigError
from workers.recipe import Recipe


@contextmanager
def ray_session() -> Iterator[str | None]:
    """Join the cluster of RAY_ADDRESS, or start a local one; gives the dashboard's address."""
    ray: Any = importlib.import_module("ray")  # seconds to import, and not needed when nothing is to be done
    address = os.environ.get("RAY_ADDRESS")
    try:
        context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"RAY_ADDRESS={address}" if address else "a local Ray"
        text = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where} cannot be used ({text}): start the cluster, or unset RAY_ADDRESS") from None
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def cluster_cores() -> float:
    """CPU cores that the cluster has to give; Ray must be initialised."""
    ray: Any = importlib.import_module("ray")
    return float(dict(ray.cluster_resources()).get("CPU", 1.0))


def workers_that_fit(recipe: Recipe, resources: Mapping[str, float]) -> int:
    """How many actors of the recipe the cluster holds. Raises ConfigError where there is no room for one."""
    for field, kind, needed in (("cpus", "CPU", recipe.cpus), ("gpus", "GPU", recipe.gpus)):
        if needed > (there := resources.get(kind, 0.0)):
            remedy = f"choose another recipe, lower it with --set {field}=N, or use a larger cluster"
            raise ConfigError(
                f"recipe {recipe.name} needs {needed:g} {kind} a worker, the cluster has {there:g}: {remedy}"
            )
    fit = resources["CPU"] / recipe.cpus
    return math.floor(min(fit, resources["GPU"] / recipe.gpus) if recipe.gpus else fit)
