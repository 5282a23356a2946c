"""Run a campaign on Ray: pre-train the shared weights if needed, then make labels on actors and commit them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.kept_actors import KeptActors
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.run import Observer, run_campaign
from orchestrator.campaign.scaling import ClusterWorkers, FixedWorkers, ReservingPolicy, ScalingPolicy
from orchestrator.campaign.stored_meanwhile import StoredMeanwhile
from orchestrator.predictors.generations import champion_number
from orchestrator.predictors.refresh.background import CPUS, BackgroundRefresher, describe_refresh, refresh_command
from orchestrator.predictors.refresh.history import hold_out_score
from orchestrator.ray_runtime.resources import (
    actors_in_the_way,
    actors_that_fit,
    most_resources,
    node_resources,
    nodes_that_hold,
)
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.layout import artifacts_uri, checkpoints_uri, weights_uri
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.spaces.opening import space_message
from workers.storage.spool import Spool
from workers.supernet.preparation_step import PreparationStep

Display = Callable[[int], AbstractContextManager[Observer]]
PreparationDisplay = Callable[[], AbstractContextManager[Callable[[PreparationStep], None]]]


def label_requests(
    config: CampaignConfig,
    todo: Sequence[LabelRequest],
    committer: CommitterProcess,
    spool: Spool,
    display: Display,
    preparation_display: PreparationDisplay,
    refreshes: BackgroundRefresher | None = None,
    kept: KeptActors | None = None,
) -> CampaignProgress:
    """Make the labels of `todo` on Ray, which must be initialised; return the final progress.

    refreshes: of the predictor, meanwhile; see `refreshing`. kept: workers that stay for the next call.

    Raises ConfigError if Ray's resources are insufficient, PreparationError if the pre-training failed.
    """
    # Importing Ray takes seconds, so it is imported only if there are labels to make.
    from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
    from orchestrator.campaign.telemetry import CampaignMetrics
    from orchestrator.ray_runtime.check import check_cluster, node_needs

    recipes = {request.recipe.hash: request.recipe for request in todo}.values()
    nodes, reserved = nodes_that_hold(recipes), most_resources(recipes)
    spaces = "+".join(sorted({request.architecture.space for request in todo}))
    weights = {r.body["pretrained"]: r.body_fingerprint for r in recipes if r.body_fingerprint}
    locations = shared_locations(config.store, todo, spool)
    needs = node_needs(locations, config.data, config.task, space_message(config.space), weights)
    check_cluster(needs)
    prepare_missing(config.store, todo, preparation_display)
    scaling = scaling_policy(config.workers, actors_that_fit(reserved, nodes))
    if refreshes is not None:
        scaling = ReservingPolicy(scaling, lambda: refreshes.reserved)
    controller = CampaignController(list(todo), uuid.uuid4().hex[:12], scaling)
    spec = ActorSpec(
        config.task,
        spaces,
        "workers.execution.evaluators:FidelityEvaluator",
        spool.location,
        reserved,
        evaluator_options(config, todo),
        needs,
    )
    metrics = CampaignMetrics(config.task, spaces)
    meanwhile = StoredMeanwhile(todo, controller, committer.labelled)
    with display(len(todo)) as show:

        def observe(progress: CampaignProgress) -> None:
            show(progress)
            metrics.observe(progress)
            if refreshes is not None:
                refreshes.tick()

        def commit() -> tuple[str, ...]:
            drained = committer.drain()
            metrics.committed(drained)
            if refreshes is not None:
                refreshes.committed(drained.labels)
            return meanwhile.after(drained)

        ended = None
        try:
            ended = run_campaign(
                controller, RayExecutor(spec, kept=kept), record=spool.put, commit=commit, observer=observe
            )
        finally:
            if refreshes is not None and (ended is None or ended.todo):
                refreshes.interrupted = True
    return ended


@contextmanager
def keeping_workers(config: CampaignConfig) -> Iterator[KeptActors | None]:
    """Keep workers between the rounds of a campaign; not if refreshes in between need their cores."""
    if config.refresh_every:
        yield None
        return
    kept = KeptActors()
    try:
        yield kept
    finally:
        kept.close()


@contextmanager
def refreshing(
    config: CampaignConfig, requests: Sequence[LabelRequest], notify: Callable[[str], None]
) -> Iterator[BackgroundRefresher | None]:
    """Refresh the predictor during a campaign with --refresh-every, and after one that chose or has it.

    Ray must be initialised. The predictor has learned all labels when the block ends. requests: with the recipes of all
    labels. notify: called with a line of text after every refresh.
    """
    if not (config.refresh_every or config.in_rounds):
        yield None
        return
    refreshes = _background_refresher(config, most_resources([request.recipe for request in requests]), notify)
    try:
        yield refreshes
    except BaseException:
        refreshes.interrupted = True
        raise
    finally:
        refreshes.close()


def _background_refresher(
    config: CampaignConfig, worker_resources: Mapping[str, float], notify: Callable[[str], None]
) -> BackgroundRefresher:
    """Return background refreshes on this campaign's Ray. worker_resources: what a label worker reserves."""
    import ray

    from orchestrator.campaign.telemetry import GenerationMetrics

    metrics = GenerationMetrics()

    def on_refresh(document: dict[str, Any]) -> None:
        notify(describe_refresh(document))
        if number := champion_number(Path(config.predictors)):
            metrics.observe(number, hold_out_score(Path(config.predictors), number))

    command = refresh_command(config.store, config.predictors, ray.get_runtime_context().gcs_address)

    def workers_to_stop() -> int:
        return actors_in_the_way(worker_resources, CPUS, list(node_resources().values()))

    return BackgroundRefresher(config.refresh_every, command, workers_to_stop, on_refresh)


def scaling_policy(workers: int | None, capacity: int) -> ScalingPolicy:
    """Return the policy for a given number of workers, or for as many as the cluster can hold, which may change."""
    if workers is not None:
        return FixedWorkers(workers)
    return ClusterWorkers() if os.environ.get("RAY_ADDRESS") else FixedWorkers(max(1, capacity))


def prepare_missing(
    store: str, requests: Sequence[LabelRequest], display: PreparationDisplay, *, shipped: bool = True
) -> list[str]:
    """Train the shared weights and heads that the requests need and that do not exist; return the artifacts' names.

    Ray must be initialised. shipped: whether those that come with the package are used.
    """
    from orchestrator.campaign.preparation import add_shipped, missing_artifacts, prepare

    location, trained = artifacts_uri(store), list[str]()
    for request in {(r.architecture.space, r.recipe.hash): r for r in requests}.values():
        if shipped:
            add_shipped(location, request)
        if missing := missing_artifacts(location, request):
            with display() as show:
                prepare(location, request, show)
            trained += missing
    return trained


def shared_locations(store: str, requests: Sequence[LabelRequest], spool: Spool) -> list[str]:
    """Return the locations that all workers and this machine must share."""
    artifacts = any(isinstance(request.recipe, SharedRecipe) for request in requests)
    return [spool.location, *([artifacts_uri(store)] if artifacts else [])]


def evaluator_options(config: CampaignConfig, requests: Iterable[LabelRequest]) -> EvaluatorOptions:
    """Return the options of the evaluators that make the requested labels."""
    return EvaluatorOptions(
        fidelities=tuple(sorted({request.fidelity for request in requests})),
        artifacts_uri=artifacts_uri(config.store),
        checkpoints_uri=checkpoints_uri(config.store),
        weights_uri=weights_uri(config.store),
        images_folder=str(Path(config.store, "_images").resolve()) if config.save_images else None,
        save_images=config.save_images,
        space=space_message(config.space),
        latency=config.latency,
    )
