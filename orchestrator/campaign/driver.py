"""A campaign on Ray: what cheap labels start from is prepared, then actors label, then the store has it all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.run import Observer, run_campaign
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, ReservingPolicy, ScalingPolicy
from orchestrator.predictors.generations import champion
from orchestrator.predictors.refresh.background import CPUS, BackgroundRefresher, refresh_command, told_in_words
from orchestrator.predictors.refresh.history import hold_out_of
from orchestrator.ray_runtime.session import (
    actors_in_the_way,
    actors_that_fit,
    check_recipe_fits,
    node_resources,
    ray_session,
)
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.layout import artifacts_of
from workers.messages.label import LabelRequest
from workers.messages.recipe import Recipe
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.spool import Spool
from workers.supernet.preparation_step import PreparationStep

Display = Callable[[int], AbstractContextManager[Observer]]
PreparationDisplay = Callable[[], AbstractContextManager[Callable[[PreparationStep], None]]]


def run_on_ray(
    config: CampaignConfig,
    todo: Sequence[LabelRequest],
    committer: CommitterProcess,
    spool: Spool,
    display: Display,
    preparation_display: PreparationDisplay,
    say: Callable[[str], None],
) -> tuple[CampaignProgress, str | None]:
    """Make the labels of `todo`; gives the final progress and the dashboard's address. say: gets news of refreshes.

    Raises ConfigError where Ray or its resources do not suffice, PreparationError where preparing failed.
    """
    with ray_session() as address:
        # Ray takes seconds to import, and is not needed when nothing is to be done.
        from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
        from orchestrator.campaign.telemetry import CampaignMetrics
        from orchestrator.ray_runtime.check import check_cluster, node_needs

        recipes, nodes = {request.recipe.hash: request.recipe for request in todo}, node_resources().values()
        for recipe in recipes.values():
            check_recipe_fits(recipe, nodes)
        reserved = most_resources(recipes.values())
        needs = node_needs(shared_places(config.store, todo, spool), config.data, config.task)
        check_cluster(needs)
        prepare_missing(config.store, todo, preparation_display)
        scaling = scaling_policy(config.workers, actors_that_fit(reserved, nodes))
        refreshes = background_refresher(config, reserved, say) if config.refresh_every else None
        if refreshes is not None:
            scaling = ReservingPolicy(scaling, lambda: refreshes.held)
        controller = CampaignController(list(todo), uuid.uuid4().hex[:12], scaling)
        spec = ActorSpec(
            config.task,
            config.space,
            "workers.execution.evaluators:FidelityEvaluator",
            spool.place,
            reserved,
            {"arguments": evaluator_arguments(config, {request.fidelity for request in todo})},
            needs,
        )
        metrics = CampaignMetrics(config.task, config.space)
        with display(len(todo)) as show:

            def observe(progress: CampaignProgress) -> None:
                show(progress)
                metrics.observe(progress)
                if refreshes is not None:
                    refreshes.tick()

            def commit() -> None:
                drained = committer.drain()
                metrics.committed(drained)
                if refreshes is not None:
                    refreshes.committed(drained.labels)

            ended = None
            try:
                ended = run_campaign(controller, RayExecutor(spec), record=spool.put, commit=commit, observer=observe)
            finally:
                if refreshes is not None:
                    refreshes.close(complete=ended is not None and not ended.todo)
    return ended, address


def background_refresher(
    config: CampaignConfig, needs: Mapping[str, float], say: Callable[[str], None]
) -> BackgroundRefresher:
    """Refreshes of the predictor on this campaign's Ray. needs: what a label worker reserves."""
    import ray

    from orchestrator.campaign.telemetry import GenerationMetrics

    metrics = GenerationMetrics()

    def told(document: dict[str, Any]) -> None:
        say(told_in_words(document))
        if number := champion(Path(config.predictors)):
            metrics.observe(number, hold_out_of(Path(config.predictors), number))

    command = refresh_command(config.store, config.predictors, ray.get_runtime_context().gcs_address)
    return BackgroundRefresher(
        config.refresh_every, command, lambda: actors_in_the_way(needs, CPUS, list(node_resources().values())), told
    )


def most_resources(recipes: Iterable[Recipe]) -> dict[str, float]:
    """Enough of each resource for an actor that makes labels of any of the recipes."""
    every = [recipe.resources for recipe in recipes]
    return {kind: max(one.get(kind, 0.0) for one in every) for kind in dict.fromkeys(k for one in every for k in one)}


def scaling_policy(asked: int | None, room: int) -> ScalingPolicy:
    """As many workers as were asked for; else as many as there is room for, which in a cluster may change."""
    if asked is not None:
        return FixedWorkers(asked)
    return ClusterWorkers() if os.environ.get("RAY_ADDRESS") else FixedWorkers(max(1, room))


def prepare_missing(store: str, requests: Sequence[LabelRequest], display: PreparationDisplay) -> list[str]:
    """Make what the requests start from and nobody has made; Ray must be initialised. Gives the artifacts' names."""
    from orchestrator.campaign.preparation import missing_artifacts, prepare

    place, made = artifacts_of(store), list[str]()
    for recipe in {request.recipe.hash: request for request in requests}.values():
        if missing := missing_artifacts(place, recipe):
            with display() as show:
                prepare(place, recipe, show)
            made += missing
    return made


def shared_places(store: str, requests: Sequence[LabelRequest], spool: Spool) -> list[str]:
    """What the workers and this machine must see alike."""
    artifacts = any(isinstance(request.recipe, SharedRecipe) for request in requests)
    return [spool.place, *([artifacts_of(store)] if artifacts else [])]


def evaluator_arguments(config: CampaignConfig, fidelities: set[str]) -> Mapping[str, Mapping[str, Any]]:
    """What the evaluator of each fidelity is built with."""
    images: dict[str, Any] = {}
    if config.save_images:
        images = {"pictures": str(Path(config.store, "_images").resolve()), "save_images": config.save_images}
    arguments = {"full": images, "proxy": {}}
    arguments["shared"] = images | {"artifacts": artifacts_of(config.store)}
    return {name: arguments[name] for name in fidelities}
