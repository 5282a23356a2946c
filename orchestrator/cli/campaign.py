"""A campaign from its configuration to the summary of what the store then holds."""

from __future__ import annotations

from typing import Any

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.driver import run_on_ray
from orchestrator.campaign.plan import plan_campaign
from orchestrator.campaign.summary import summarise
from orchestrator.cli.output import preparation_display, progress_display, say
from orchestrator.errors import StoreError
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import spool_of
from workers.storage.spool import Spool, open_spool


def run_to_the_end(config: CampaignConfig) -> dict[str, Any]:
    """Label what is missing. Raises AIOPError subclasses for what the user can mend, before any worker starts."""
    plan = plan_campaign(config)
    labels = DeltaLabelStore(config.store)
    labels.keys()  # a store that cannot be read is refused before anything is written beside it
    spool = _spool(config.store)
    committer = CommitterProcess(config.store, spool.place)
    if spool.pending():  # what an earlier run finished but could not commit
        committer.drain()
    every = [*plan.requests, *plan.audit]
    stored, failed = labels.keys(), labels.finally_failed()
    todo = [r for r in every if not stored.issuperset(r.keys) and (config.retry_failed or r.key not in failed)]
    say(f"{len(every)} labels asked for, {len(every) - len(todo)} already settled, {len(todo)} to make")
    if todo and plan.warning:
        say(plan.warning)
    try:
        progress, dashboard = None, None
        if todo:
            progress, dashboard = run_on_ray(config, todo, committer, spool, progress_display, preparation_display, say)
    finally:
        committer.close()
    if progress is not None and progress.problem:
        say(f"stopped: {progress.problem}")
    return summarise(config, plan, labels, progress, dashboard)


def _spool(store: str) -> Spool:
    try:
        return open_spool(spool_of(store))
    except OSError as error:
        what = error.strerror or error
        raise StoreError(f"label store {store}: cannot be made ({what}): name a place where you may write") from None
