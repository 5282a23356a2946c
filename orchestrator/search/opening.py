"""Open a chooser: for a task in Python, or for the labels that a request belongs to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.predictors.label_sets import LabelSetIdentity
from orchestrator.search.acquisition import BOTH
from orchestrator.search.candidates import POOL, Candidates, ShowTraced, TracedNetworks
from orchestrator.search.chooser import Chooser, SetName
from orchestrator.search.network_tracing import NetworkTracer
from orchestrator.search.surrogate import surrogate_for
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.messages.recipe_files import load_recipe
from workers.spaces import get_space, open_space

_PREDICTORS = Path("predictors")


def open_chooser(
    task: str,
    space: str = "nasbench201",
    *,
    choose: str = BOTH,
    pool: int = POOL,
    seed: int = 0,
    recipe: str = "laptop",
    data: str = "shapes",
    predictors: Path = _PREDICTORS,
) -> Chooser:
    """Return a chooser for labels that are made elsewhere.

    space: a name, or the YAML file of a declared space. choose: diverse, best or both. pool: number of sampled
    candidates. recipe, data: whose head, image size and classes the networks have. predictors: folder of generations.
    Raises AIOPError subclasses for names that do not exist.
    """
    opened = open_space(space)
    loaded = load_recipe(recipe, task, opened.name)
    networks = TracedNetworks(NetworkTracer(loaded, task, data))
    identity = LabelSetIdentity(opened.name, task, data, "full", loaded.name, loaded.hash)
    surrogate, _ = surrogate_for(predictors, identity)
    candidates = Candidates(opened, networks, pool, seed)
    return Chooser(candidates, choose, surrogate, SetName(task, data, identity.recipe))


def chooser_for_request(
    request: LabelRequest,
    choose: str,
    *,
    pool: int,
    seed: int,
    predictors: Path,
    excluded: Callable[[Architecture], bool],
    show: ShowTraced,
) -> tuple[Chooser, str]:
    """Return a chooser for labels like the requested one, and which generation it predicts with.

    request: of any architecture. excluded, show: see `Candidates` and `TracedNetworks`.
    """
    recipe, task = request.recipe, request.task
    networks = TracedNetworks(NetworkTracer(recipe, task, request.data), show)
    space = get_space(request.architecture.space)
    identity = LabelSetIdentity(space.name, task, request.data, request.fidelity, recipe.name, recipe.hash)
    surrogate, generation = surrogate_for(predictors, identity)
    candidates = Candidates(space, networks, pool, seed, excluded)
    return Chooser(candidates, choose, surrogate, SetName(task, request.data, identity.recipe)), generation
