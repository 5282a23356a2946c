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
from workers.spaces import Space, get_space, open_space

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
    request = request_elsewhere(open_space(space), task, data, recipe, seed)
    return chooser_for_request(request, choose, pool=pool, seed=seed, predictors=predictors)[0]


def request_elsewhere(space: Space, task: str, data: str, recipe: str, seed: int) -> LabelRequest:
    """Return the request of a label that is made elsewhere with full training, of an architecture of the space.

    Raises AIOPError subclasses for names that do not exist.
    """
    first = next(space.sequence(seed))
    return LabelRequest(first, task, data, "", "full", load_recipe(recipe, task, space.name), seed)


def chooser_for_request(
    request: LabelRequest,
    choose: str,
    *,
    pool: int,
    seed: int,
    predictors: Path,
    excluded: Callable[[Architecture], bool] = lambda architecture: False,
    show: ShowTraced = lambda done, total: None,
) -> tuple[Chooser, str]:
    """Return a chooser for labels like the requested one, and which generation it predicts with.

    request: of any architecture. excluded, show: see `Candidates` and `TracedNetworks`.
    """
    networks = TracedNetworks(NetworkTracer(request.recipe, request.task, request.data), show)
    identity = LabelSetIdentity.of_request(request)
    surrogate, generation = surrogate_for(predictors, identity)
    candidates = Candidates(get_space(identity.space), networks, pool, seed, excluded)
    return Chooser(candidates, choose, surrogate, SetName(identity.task, identity.data, identity.recipe)), generation
