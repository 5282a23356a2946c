"""Run a campaign from its configuration to the summary of its labels in the store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.campaign.calibration import MIN_AUDITED
from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.driver import label_requests, refreshing
from orchestrator.campaign.missing import RETRY, describe_failures
from orchestrator.campaign.plan import plan_campaign, with_space_name
from orchestrator.campaign.reliability import MEANINGFUL, mean_agreement, seeds_needed
from orchestrator.campaign.stored_networks import check_function_unchanged
from orchestrator.campaign.summary import summarise
from orchestrator.cli.data_notes import data_notes
from orchestrator.cli.output import emit, emit_rows, emit_scatter, preparation_display, progress_display, say
from orchestrator.cli.tables import Column
from orchestrator.errors import StoreError
from orchestrator.ray_runtime.session import ray_session
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import checkpoints_uri, spool_uri
from predictor.errors import write_problem
from workers.messages.label import LabelRequest
from workers.spaces.opening import shipped_modules
from workers.storage.checkpoints import open_checkpoints, remove_settled
from workers.storage.spool import Spool, open_spool

_NETWORKS = (
    Column("genotype", "architecture"),
    Column("value"),
    Column("flops", "FLOPs"),
    Column("params", "", 1),
    Column("seconds", "", 2),
)
# Printed separately; the notes were said before the labels were made.
_SHOWN_OTHERWISE = ("best", "data_notes", "known_reliability", "networks", "points")


def run_to_the_end(config: CampaignConfig) -> dict[str, Any]:
    """Label what is missing and summarise. Raises AIOPError subclasses for user errors, before any worker starts."""
    config = with_space_name(config)
    with data_notes() as notes:
        plan = plan_campaign(config)
    progress, dashboard = None, None
    with open_store(config, plan.requests[0]) as store:
        every = [*plan.requests, *plan.audit]
        todo = [r for r in every if not store.stored.issuperset(r.keys)]
        failed = [r for r in todo if r.key in store.failed]
        if not config.retry_failed:
            todo = [r for r in todo if r.key not in store.failed]
        say(f"{len(every)} labels requested: {len(every) - len(todo)} already there or failed, {len(todo)} to make")
        if failed and not config.retry_failed:
            say(f"{len(failed)} labels failed in an earlier run and are not tried again without {RETRY}")
        if todo and plan.warning:
            say(plan.warning)
        if todo:
            with ray_session(shipped_modules(config.space)) as dashboard, refreshing(config, todo, say) as refreshes:
                progress = label_requests(
                    config, todo, store.committer, store.spool, progress_display, preparation_display, refreshes
                )
    if progress is not None and progress.problem:
        say(f"stopped: {progress.problem}")
    return summarise(config, plan, store.labels, progress, dashboard) | {"data_notes": notes}


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store that a campaign writes to. stored: keys of all labels. failed: keys of labels that failed for good."""

    labels: DeltaLabelStore
    spool: Spool
    committer: CommitterProcess
    stored: frozenset[str]
    failed: frozenset[str]


@contextmanager
def open_store(config: CampaignConfig, request: LabelRequest) -> Iterator[OpenStore]:
    """Open the store of a campaign, and end the process that commits to it afterwards.

    What an earlier run finished is committed, and checkpoints that no label needs are removed. request: any of the
    campaign. Raises AIOPError for a store that cannot be read or written, or if the space's function has changed.
    """
    labels = DeltaLabelStore(config.store)
    labels.keys()  # an unreadable store is an error before anything is written next to it
    check_function_unchanged(labels, request)
    spool = open_spool_of(config.store)
    committer = CommitterProcess(config.store, spool.location)
    try:
        if spool.pending():  # reports that an earlier run finished but did not commit
            committer.drain()
        stored, failed = frozenset(labels.keys()), frozenset(labels.finally_failed())
        remove_settled(open_checkpoints(checkpoints_uri(config.store)), stored | failed)
        yield OpenStore(labels, spool, committer, stored, failed)
    finally:
        committer.close()


def print_summary(summary: dict[str, Any], as_json: bool) -> None:
    """Print the summary of a campaign; nested results are separate tables, the best networks and a plot come last.

    If labels are missing, a line on stderr says why, and what to do.
    """
    if as_json:
        emit({name: value for name, value in summary.items() if name != "points"}, as_json)
    else:
        shown = {name: value for name, value in summary.items() if name not in _SHOWN_OTHERWISE}
        emit(shown if shown["failures"] else {k: v for k, v in shown.items() if k != "failures"}, as_json)
        if summary["networks"]:
            emit_rows(summary["networks"], as_json, _NETWORKS, "best networks")
            emit_scatter(summary["points"], summary["metric"])
            _say_noise(summary)
            _say_calibration(summary)
            _say_what_next(summary)
    if line := describe_failures(summary["failures"]):
        say(line)


def _say_noise(summary: dict[str, Any]) -> None:
    """Say how far labels of one network differ between seeds if that is known, and how to measure it if it was not."""
    if known := summary["known_reliability"]:
        say(
            f"noise: labels of one network differ by {known['deviation']:.3f} (standard deviation) between seeds; two "
            f"seeds rank networks with a correlation of {known['spearman']:.2f} (on {known['networks']} others)"
        )
    measured = summary["reliability"]
    if not measured:
        say(f"add --repeat 2 to measure {'it with these networks' if known else 'how well two seeds agree'}")
    agreement = measured or known
    if agreement and agreement["spearman"] is not None:
        _say_what_helps(agreement["spearman"], measured["seeds"] if measured else 1, summary["fidelity"])


def _say_what_helps(agreement: float, seeds: int, fidelity: str) -> None:
    """Say what to do if labels say little about which network is better. agreement: of single seeds."""
    reached = mean_agreement(agreement, seeds)
    if reached >= MEANINGFUL:
        return
    needed = seeds_needed(agreement)
    means = "two seeds agree" if seeds == 1 else f"means over {seeds} seeds agree with others"
    longer = "train longer (--set steps=N)" if fidelity == "full" else "use --fidelity full"
    say(
        f"these labels are too noisy to tell similar networks apart, {means} by {reached:.2f} only: "
        f"{f'add --repeat {needed}, or ' if needed else ''}{longer}"
    )


def _say_calibration(summary: dict[str, Any]) -> None:
    """Say how to estimate full labels, once an audit has enough of them."""
    if summary["fidelity"] == "shared" and summary["audit"].get("architectures", 0) >= MIN_AUDITED:
        what = " ".join(f"--{name} {shlex.quote(str(summary[name]))}" for name in ("task", "space", "data", "store"))
        say(f"estimate the full labels of all networks from these: orchestrator calibrate {what}")


def _say_what_next(summary: dict[str, Any]) -> None:
    """Say how to see the labels, and how to search further."""
    say(f"see all labels on one page: orchestrator report --store {summary['store']}")
    if ", " in summary["space"]:  # given architectures of several spaces
        return
    what = " ".join(f"--{name} {shlex.quote(str(summary[name]))}" for name in ("task", "space", "data", "store"))
    say(f"find the best network within a limit: orchestrator search {what} --max-flops 60%")


def open_spool_of(store: str) -> Spool:
    """Return the spool of a store. Raises StoreError if it cannot be created."""
    try:
        return open_spool(spool_uri(store))
    except OSError as error:
        problem = write_problem(error, "choose a writable location")
        raise StoreError(f"label store {store}: cannot be created: {problem}") from None
