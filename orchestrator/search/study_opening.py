"""Open a study for labels like the requested ones: its networks, its reference and its limits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_sets import LabelSetIdentity
from orchestrator.search.candidates import ShowTraced, TracedNetworks
from orchestrator.search.chooser import SetName
from orchestrator.search.holding import Held
from orchestrator.search.limits import FLOPS, LATENCY, Limit, format_cost, parse_limits
from orchestrator.search.network_tracing import NetworkTracer
from orchestrator.search.networks import StudyNetworks
from orchestrator.search.opening import request_elsewhere
from orchestrator.search.profile import SpaceProfile, check_satisfiable, profile_space
from orchestrator.search.study import Strategy, Study, StudySettings
from orchestrator.search.study_predictor import Objective
from orchestrator.search.surrogate import surrogate_for
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.spaces import open_space


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A study, the architecture that its results are compared with, and what the space's networks cost."""

    study: Study
    reference: Architecture
    profile: SpaceProfile
    generation: str  # which predictor has the source tasks


def create_study(
    task: str,
    space: str = "nasbench201",
    *,
    data: str = "shapes",
    recipe: str = "laptop",
    max_flops: str = "",
    max_params: str = "",
    max_latency: str = "",
    reference: Architecture | None = None,
    hold: Mapping[str, Any] | None = None,
    weights: Sequence[float] = (),
    strategy: Strategy = "predictor",
    pool: int = 200,
    seed: int = 0,
    predictors: Path = Path("predictors"),
) -> OpenStudy:
    """Return a study for labels that are made elsewhere: `study.ask`, `study.tell`, `study.front`.

    task: one, or several with commas between them. space: a name, or the YAML file of a declared space. data, recipe:
    whose head, image size and classes the networks have. max_flops, max_params, max_latency: such as 60%, 1.2G or 8ms;
    a share of the reference's latency is set by `Study.limit`. hold: values by place, such as {"depth.0": 2}. Raises
    AIOPError subclasses for names, limits and places that do not exist.
    """
    opened = open_space(space)
    limits = parse_limits({"flops": max_flops, "params": max_params, "latency": max_latency})
    tasks = (part.strip() for part in task.split(","))
    requests = {name: request_elsewhere(opened, name, data, recipe, seed) for name in tasks}
    settings = StudySettings(axis=limits[0].cost if limits else FLOPS, strategy=strategy, pool=pool, seed=seed)
    found = open_study(
        requests, Held(opened, hold), limits, settings, reference=reference, weights=weights, predictors=predictors
    )
    for limit in limits:
        if limit.cost == LATENCY and not limit.relative:
            found.study.limit(LATENCY, limit.amount)
    return found


def open_study(
    requests: Mapping[str, LabelRequest],
    held: Held,
    limits: Sequence[Limit],
    settings: StudySettings,
    *,
    reference: Architecture | None = None,
    weights: Sequence[float] = (),
    predictors: Path = Path("predictors"),
    show: ShowTraced = lambda done, total: None,
    notify: Callable[[str], None] = lambda line: None,
) -> OpenStudy:
    """Return a study for labels like the requested ones.

    requests: of any architecture, by task. limits: shares of the reference's costs are allowed; one of latency is set
    by `Study.limit` once the reference was measured. settings: without limits. reference: by default the sampled
    architecture with the most FLOPs. weights: of the tasks. show, notify: see `TracedNetworks`; lines for the user.

    Raises ConfigError if no network meets the limits, or if the reference cannot be traced.
    """
    networks = StudyNetworks(
        {task: TracedNetworks(NetworkTracer(r.recipe, task, r.data), show) for task, r in requests.items()}
    )
    objectives, generation = dict[str, Objective](), ""
    for number, (task, request) in enumerate(requests.items()):
        identity = LabelSetIdentity.of_request(request)
        surrogate, generation = surrogate_for(predictors, identity)
        name = SetName(task, identity.data, identity.recipe)
        objectives[task] = Objective(name, surrogate, weights[number] if weights else 1.0)
    sample = networks.add(itertools.islice(held.drawn(settings.seed), settings.pool))
    if not sample:
        raise ConfigError(
            f"space {held.space.name}: none of {settings.pool} sampled networks can be traced: {networks.problem}"
        )
    if reference is None:
        reference = max(sample, key=lambda a: (networks.cost(a).flops, a.id))
        notify(f"reference: the sampled network with the most FLOPs, {reference.genotype}")
    elif not networks.add([reference]):
        raise ConfigError(f"--reference {reference.genotype}: the network cannot be traced: name another")
    amounts = _amounts(limits, networks, reference)
    profile = profile_space(networks, sample, amounts)
    for cost, found in profile.ranges.items():
        least, middle, most = (format_cost(cost, amount) for amount in (found.least, found.middle, found.most))
        wish = f"; at most {format_cost(cost, amounts[cost])} wanted" if cost in amounts else ""
        notify(f"{profile.networks} sampled networks: {least} to {most}, median {middle}{wish}")
    notify(f"{profile.within:.0%} of them meet the limits" if amounts else "no limit on FLOPs or parameters")
    check_satisfiable(networks, held, sample, amounts, settings.seed)
    study = Study(held, networks, objectives, replace(settings, limits=amounts))
    return OpenStudy(study, reference, profile, generation)


def _amounts(limits: Sequence[Limit], networks: StudyNetworks, reference: Architecture) -> dict[str, float]:
    """Return the limits on FLOPs and parameters in their unit."""
    cost = networks.cost(reference)
    costs = {"flops": cost.flops, "params": cost.params}
    return {limit.cost: limit.absolute(costs[limit.cost]) for limit in limits if limit.cost != LATENCY}
