"""Plan a search: templates of its labels, the reference, and what was asked, before any worker starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.campaign.plan import plan_template
from orchestrator.campaign.search_config import SearchConfig
from orchestrator.errors import ConfigError
from predictor.errors import AIOPError
from workers.data import open_data
from workers.latency.labels import headed_request, numbers_of
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest
from workers.spaces import Space, get_space, space_names
from workers.spaces.names import architecture_named


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """Requests of any architecture, by task.

    search: of the search. verification: of the verification; None without one. latency_recipe: hash of the recipe of
    latencies of the first task's networks; empty if none are measured.
    """

    search: Mapping[str, LabelRequest]
    verification: Mapping[str, LabelRequest] | None
    latency_recipe: str = ""

    def requests(self, config: SearchConfig, architecture: Architecture, reason: str = "") -> list[LabelRequest]:
        """Return the labels of an architecture in the search: each task with each seed."""
        seeds = range(config.seed, config.seed + config.repeat)
        return [
            replace(template, architecture=architecture, seed=seed, reason=reason)
            for template in self.search.values()
            for seed in seeds
        ]

    def verifications(self, config: SearchConfig, architecture: Architecture) -> list[LabelRequest]:
        """Return the labels that verify an architecture: each task with each seed. The first seed keeps its weights."""
        seeds = range(config.seed, config.seed + config.verify_seeds)
        return [
            replace(template, architecture=architecture, seed=seed, reason="verified", keep_weights=seed == config.seed)
            for template in (self.verification or {}).values()
            for seed in seeds
        ]


def plan_search(config: SearchConfig) -> SearchPlan:
    """Check every name, file and field. Raises AIOPError subclasses. config: has the name of its space."""
    search = {task: plan_template(config.campaign(task)) for task in config.tasks}
    verification = None
    if config.verify:
        verification = {task: plan_template(config.verification(task)) for task in config.tasks}
    first = search[config.tasks[0]]
    return SearchPlan(search, verification, _latency_recipe(first) if config.latency else "")


def named_reference(config: SearchConfig) -> Architecture | None:
    """Return the reference that was given. Raises ConfigError unless it is an architecture of the space."""
    if not config.reference:
        return None
    space, text = get_space(config.space), config.reference.strip()
    try:
        found = _parsed(space, text)
        space.skeleton(found)
    except AIOPError as error:
        raise ConfigError(f"--reference: {error}") from None
    return found


def question_of(config: SearchConfig, plan: SearchPlan, reference: Architecture) -> dict[str, Any]:
    """Return what identifies a search: all but its budget, its verification and its workers."""
    first = next(iter(plan.search.values()))
    return {
        "tasks": list(config.tasks),
        "space": config.space,
        "declaration": first.architecture.declaration,
        "data": first.data,
        "fingerprints": [template.fingerprint for template in plan.search.values()],
        "fidelity": config.fidelity,
        "recipes": [template.recipe.hash for template in plan.search.values()],
        "limits": {limit.cost: [limit.amount, limit.relative] for limit in config.limits},
        "reference": reference.genotype,
        "latency": config.latency,
        "held": config.held,
        "weights": list(config.weights),
        "strategy": config.strategy,
        "pool": config.pool,
        "seed": config.seed,
        "repeat": config.repeat,
    }


def _latency_recipe(request: LabelRequest) -> str:
    """Return the hash of the recipe that latencies of the networks of a label have."""
    numbers = numbers_of(open_data(request.data, request.task).vocabulary(request.task))
    size = (3, *request.recipe.input_size)
    return headed_request(request.architecture, request.recipe, numbers, size, "").recipe.hash


def _parsed(space: Space, text: str) -> Architecture:
    """Return the architecture of a genotype, as JSON or as publishers write it, or of SPACE:GENOTYPE."""
    if text.startswith("{"):
        return space.parse_json(text)
    before, colon, _ = text.partition(":")
    named = colon and (before == "timm" or before in space_names())
    found = architecture_named(text) if named else space.parse(text)
    if found.space != space.name:
        raise ConfigError(f"'{text[:60]}' is of space {found.space}: name an architecture of {space.name}")
    return found
