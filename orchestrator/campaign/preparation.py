"""Pre-train the shared weights and head for labels of fidelity `shared` on a Ray actor, and report progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from orchestrator.campaign.supernet_job import train_distributed
from orchestrator.errors import PreparationError
from orchestrator.ray_runtime.session import cluster_cores
from workers.execution.preparer import Preparer
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation

_POLL_S = 0.5


def missing_artifacts(location: str, request: LabelRequest) -> list[str]:
    """Return the names of artifacts that a label needs and that do not exist yet; none for other fidelities.

    location: of the artifacts, from `artifacts_uri`.
    """
    if not isinstance(request.recipe, SharedRecipe):
        return []
    return Preparation(open_artifacts(location), request, request.recipe).missing


def prepare(location: str, request: LabelRequest, show: Callable[[PreparationStep], None]) -> None:
    """Train the missing shared weights and head, from the last checkpoint if a run was killed.

    Ray must be initialised. location: of the artifacts, from `artifacts_uri`. show: called with the newest step, twice
    per second.

    Raises PreparationError if the training fails.
    """
    actor = _preparer(location, request)
    done = actor.run.remote()
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
            f"preparing {request.task} on {request.architecture.space}: its worker was lost ({text}): run it again "
            "to resume from the last checkpoint"
        ) from None
    finally:
        ray.kill(actor)


def _preparer(location: str, request: LabelRequest) -> Any:
    """Create the actor. If several workers train, they reserve the cores and GPUs, because the actor only waits."""
    recipe = request.recipe
    assert isinstance(recipe, SharedRecipe)
    weights = recipe.supernet
    alone = weights.workers == 1
    remote: Any = ray.remote(Preparer)
    return remote.options(
        name=f"prepare-{request.task}-{request.architecture.space}",
        num_cpus=min(weights.cpus, cluster_cores()) if alone else 0,
        num_gpus=weights.gpus if alone else 0,
        max_concurrency=4,  # to record and report progress while it trains
    ).remote(location, request, weights.cpus * weights.workers, None if alone else train_distributed)
