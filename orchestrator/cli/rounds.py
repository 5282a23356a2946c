"""Run a campaign that chooses in rounds, from its configuration to the summary of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.driver import label_requests
from orchestrator.campaign.plan import CampaignPlan, plan_template, with_space_name
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.rounds import MIN_BATCH, RoundsResult, run_rounds
from orchestrator.campaign.summary import summarise
from orchestrator.cli.campaign import open_store
from orchestrator.cli.data_notes import data_notes
from orchestrator.cli.lazy_session import lazy_session
from orchestrator.cli.output import preparation_display, progress_display, say, say_some
from orchestrator.ray_runtime.resources import actors_that_fit, most_resources, node_resources
from orchestrator.search.chooser import Chooser
from orchestrator.search.history import failed_before, labelled_architectures
from orchestrator.search.opening import chooser_for_request
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from workers.messages.label import LabelRequest
from workers.storage.spool import Spool


def run_in_rounds(config: CampaignConfig) -> dict[str, Any]:
    """Label until the store has enough, and summarise. Raises AIOPError for user errors, before any worker starts."""
    config = with_space_name(config)
    with data_notes() as notes:
        template = plan_template(config)
    with open_store(config, template) as store:
        there = len(labelled_architectures(store.labels, template))
        say(f"{config.num} architectures requested: {min(there, config.num)} already labelled")
        if there < config.num and (warning := CampaignPlan((template,), ()).warning):
            say(warning)
        result, dashboard = _rounds_on_ray(config, template, store.labels, store.committer, store.spool)
    if result.problem:
        say(f"stopped: {result.problem}")
    summary = summarise(config, result.plan(template), store.labels, result.progress, dashboard)
    missing = max(summary["missing"], config.num * config.repeat - summary["labels"])
    chosen = [
        {"architecture": c.architecture.id, "genotype": c.architecture.genotype, "reason": c.reason, "score": c.score}
        for c in result.choices
    ]
    return summary | {"missing": missing, "chosen": chosen, "data_notes": notes}


def _rounds_on_ray(
    config: CampaignConfig, template: LabelRequest, labels: DeltaLabelStore, committer: CommitterProcess, spool: Spool
) -> tuple[RoundsResult, str | None]:
    """Run the rounds; return their result and the dashboard's address. Ray starts if there is something to label."""
    chooser = open_chooser_for(config, template, labels)
    with lazy_session(config) as session:

        def make_labels(todo: Sequence[LabelRequest]) -> CampaignProgress:
            started = session.start([template])
            return label_requests(config, todo, committer, spool, progress_display, preparation_display, *started)

        batch = MIN_BATCH
        if len(labelled_architectures(labels, template)) < config.num:
            session.start([template])  # the number of workers decides how many are chosen at once
            fitting = actors_that_fit(most_resources([template.recipe]), node_resources().values())
            batch = max(MIN_BATCH, config.workers or fitting)
        result = run_rounds(config, template, labels, chooser, batch, make_labels, say)
    return result, session.dashboard


def open_chooser_for(config: CampaignConfig, template: LabelRequest, labels: DeltaLabelStore) -> Chooser:
    """Return the chooser of a campaign. It leaves out what failed permanently, and says which predictor it uses."""
    failed = set[str]() if config.retry_failed else labels.finally_failed()
    chooser, generation = chooser_for_request(
        template,
        config.choose,
        pool=config.pool,
        seed=config.seed,
        predictors=Path(config.predictors),
        excluded=failed_before(template, failed),
        show=say_some("candidates traced"),
    )
    say(f"choosing {config.choose} among {config.pool} architectures; source tasks: {generation}")
    return chooser
