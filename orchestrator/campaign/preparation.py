"""Pre-train the shared weights and head for labels of fidelity `shared` on a Ray actor, and report progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from orchestrator.campaign.supernet_job import train_distributed
from orchestrator.errors import ConfigError, PreparationError
from orchestrator.ray_runtime.resources import Nodes, actors_that_fit, most_resources, wait_for_nodes
from workers.execution.preparer import Preparer
from workers.messages.label import LabelRequest
from workers.messages.recipe import Recipe
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation

_POLL_S = 0.5
_RESTARTS = 8  # of a preparation whose worker or node is lost; each resumes from the last checkpoint


def missing_artifacts(location: str, request: LabelRequest) -> list[str]:
    """Return the names of artifacts that a label needs and that do not exist yet; none for other fidelities.

    location: of the artifacts, from `artifacts_uri`.
    """
    if not isinstance(request.recipe, SharedRecipe):
        return []
    return Preparation(open_artifacts(location), request, request.recipe).missing


def add_shipped(location: str, request: LabelRequest) -> list[str]:
    """Copy what a label needs and the package has to `location`; return the artifacts' names.

    Raises ArtifactError for files that were changed.
    """
    if not isinstance(request.recipe, SharedRecipe):
        return []
    return Preparation(open_artifacts(location), request, request.recipe).add_shipped()


def prepare(location: str, request: LabelRequest, show: Callable[[PreparationStep], None]) -> None:
    """Train the missing shared weights and head, from the last checkpoint if a run was killed or its node is lost.

    Ray must be initialised. location: of the artifacts, from `artifacts_uri`. show: called with the newest step, twice
    per second.

    Raises PreparationError if the training fails, ConfigError if no node has what it needs.
    """
    recipe = request.recipe
    assert isinstance(recipe, SharedRecipe)
    if recipe.supernet.workers > 1:  # they reserve cores and GPUs; this actor waits for them
        waiting = _preparer("distribute", location, request, {"CPU": 0.0}, 1)
        _watch(waiting, waiting.run_distributed.remote(train_distributed), request, show)
    if parts := trained_alone(recipe):
        most = most_resources(parts)
        needs = wait_for_nodes(lambda nodes: node_share(most, nodes, request), [most])
        actor = _preparer("prepare", location, request, needs, max(part.cpus for part in parts))
        _watch(actor, actor.run.remote(), request, show)


def trained_alone(recipe: SharedRecipe) -> list[Recipe]:
    """Return the parts of a preparation that one actor trains, of which there may be none."""
    weights, head = recipe.supernet, recipe.shared_head
    parts: list[Recipe] = [weights] if weights.workers == 1 else []
    return parts if head.method == "none" else [*parts, head]


def node_share(needs: Mapping[str, float], nodes: Nodes, request: LabelRequest) -> dict[str, float]:
    """Return `needs` with at most as many cores as the largest node has. Raises ConfigError if no node has the rest."""
    cores = max(
        (node.get("CPU", 0.0) for node in nodes if actors_that_fit({**needs, "CPU": 0.01}, [node])), default=0.0
    )
    if not cores:
        wanted = ", ".join(f"{amount:g} {kind}" for kind, amount in needs.items() if kind != "CPU")
        raise ConfigError(
            f"preparing {request.task} on {request.architecture.space} needs {wanted} on one node, no node has it: "
            "choose another recipe, or set gpus and memory_mb of supernet and shared_head, as in --set supernet.gpus=0"
        )
    return {**needs, "CPU": min(needs.get("CPU", 0.0), cores)}


def _watch(actor: Any, done: Any, request: LabelRequest, show: Callable[[PreparationStep], None]) -> None:
    """Show the progress of an actor until it is done, then end it. Raises PreparationError if it fails."""
    try:
        while not ray.wait([done], timeout=_POLL_S)[0]:
            step = ray.get(actor.progress.remote())
            if step is not None:
                show(step)
        ray.get(done)
    except RayTaskError as error:
        raise PreparationError(f"preparing {request.task} on {request.architecture.space}: {error.cause}") from None
    except RayError as error:
        text = " ".join(str(error).split())[:300]
        raise PreparationError(
            f"preparing {request.task} on {request.architecture.space}: its worker was lost, despite up "
            f"to {_RESTARTS} restarts ({text}): run it again to resume from the last checkpoint"
        ) from None
    finally:
        ray.kill(actor)


def _preparer(what: str, location: str, request: LabelRequest, needs: Mapping[str, float], cpus: float) -> Any:
    """Create an actor that reserves `needs` and computes on `cpus` cores. what: first part of its name."""
    remote: Any = ray.remote(Preparer)
    return remote.options(
        name=f"{what}-{request.task}-{request.architecture.space}",
        num_cpus=needs["CPU"],
        num_gpus=needs.get("GPU", 0.0),
        memory=needs.get("memory"),
        max_concurrency=4,  # to record and report progress while it trains
        max_restarts=_RESTARTS,
        max_task_retries=-1,  # its calls wait until it has restarted; a node that is lost first looks unavailable
    ).remote(location, request, cpus)
