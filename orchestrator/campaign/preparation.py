"""Makes what labels of fidelity `shared` start from, on one Ray actor, with progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from orchestrator.campaign.supernet_job import train_together
from orchestrator.errors import PreparationError
from orchestrator.ray_runtime.session import cluster_cores
from workers.execution.preparer import Preparer
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.artifacts import open_artifacts
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.prepare import Preparation

_POLL_S = 0.5


def missing_artifacts(place: str, request: LabelRequest) -> list[str]:
    """Names of what a label needs and nobody has made; none for fidelities that need nothing."""
    if not isinstance(request.recipe, SharedRecipe):
        return []
    return Preparation(open_artifacts(place), request, request.recipe).missing


def prepare(place: str, request: LabelRequest, show: Callable[[PreparationStep], None]) -> None:
    """Make what is missing; Ray must be initialised. A killed run goes on from its last checkpoint.

    place: as `artifacts_of` gives it.

    Raises PreparationError when it cannot be made.
    """
    actor = _preparer(place, request)
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
            f"preparing {request.task} on {request.architecture.space}: its worker was lost ({text}): run it again, "
            "it goes on from the last checkpoint"
        ) from None
    finally:
        ray.kill(actor)


def _preparer(place: str, request: LabelRequest) -> Any:
    """The actor. Where it trains with others, those reserve the cores, since it waits for them meanwhile."""
    recipe = request.recipe
    assert isinstance(recipe, SharedRecipe)
    weights = recipe.supernet
    alone = weights.workers == 1
    remote: Any = ray.remote(Preparer)
    return remote.options(
        name=f"prepare-{request.task}-{request.architecture.space}",
        num_cpus=min(weights.cpus, cluster_cores()) if alone else 0,
        num_gpus=weights.gpus if alone else 0,
        max_concurrency=4,  # answers how far it is, and is told so, while it works
    ).remote(place, request, weights.cpus * weights.workers, None if alone else train_together)
