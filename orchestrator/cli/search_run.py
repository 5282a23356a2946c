"""Run a search from its configuration to its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.campaign.driver import evaluator_options, label_requests
from orchestrator.campaign.plan import with_space_name
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.rounds import MIN_BATCH
from orchestrator.campaign.search import MakeLabels, Search, SearchRun
from orchestrator.campaign.search_config import SearchConfig
from orchestrator.campaign.search_labels import SearchLabels
from orchestrator.campaign.search_plan import SearchPlan, named_reference, plan_search, question_of
from orchestrator.campaign.search_summary import summarise_search
from orchestrator.cli.campaign import OpenStore, open_store
from orchestrator.cli.lazy_session import lazy_session
from orchestrator.cli.output import preparation_display, progress_display, say, say_some
from orchestrator.search.export.folder import check_new_folder, export_network
from orchestrator.search.holding import Held
from orchestrator.search.limits import FLOPS
from orchestrator.search.record import SearchRecord, SearchRecords, open_records, question_id
from orchestrator.search.study import StudySettings
from orchestrator.search.study_opening import OpenStudy, open_study
from orchestrator.store.layout import searches_uri
from workers.messages.label import LabelRequest
from workers.spaces import get_space


def search_to_the_end(config: SearchConfig, export: Path | None = None) -> dict[str, Any]:
    """Search until the budget is spent, verify and summarise. Raises AIOPError for user errors.

    export: new folder for the winner.
    """
    if export is not None:
        check_new_folder(export)
    config = with_space_name(config)
    plan, reference = plan_search(config), named_reference(config)
    axis = config.limits[0].cost if config.limits else FLOPS
    settings = StudySettings(axis=axis, strategy=config.strategy, pool=config.pool, seed=config.seed)
    first = plan.search[config.tasks[0]]
    with open_store(config, first) as store:
        opened = open_study(
            plan.search,
            Held(get_space(config.space), config.held),
            config.limits,
            settings,
            reference=reference,
            weights=config.weights,
            predictors=Path(config.predictors),
            show=say_some("networks traced"),
            notify=say,
        )
        labels = SearchLabels(config, plan, store.labels)
        records = open_records(searches_uri(config.store))
        record = _record(config, plan, opened, labels, records)
        with _workers(config, plan, store) as make_labels:
            run = SearchRun(make_labels, say, workers=record.batch)
            end = Search(config, plan, opened.study, opened.reference, labels, records, record, run).run()
    document = summarise_search(config, opened.study, opened.reference, labels, opened.profile, end)
    records.save_result(record.id, document)
    if export is not None and document["winner"] is not None:
        _export(export, config, plan, document)
    return document


def _export(folder: Path, config: SearchConfig, plan: SearchPlan, document: dict[str, Any]) -> None:
    """Write the winner's network of the first task, with the weights of the first seed."""
    winner = document["winner"]
    architecture = get_space(config.space).parse_json(winner["genotype"])
    request = plan.verifications(config, architecture)[0]
    facts = {"verified": winner["verified"], "reference": document["reference"], "search": document["search"]}
    options = evaluator_options(config.verification(config.tasks[0]), [request])
    export_network(folder, request, options, facts, say)


def _record(
    config: SearchConfig, plan: SearchPlan, opened: OpenStudy, labels: SearchLabels, records: SearchRecords
) -> SearchRecord:
    """Return the record of this search, or a new one if it was not asked before."""
    question = question_of(config, plan, opened.reference)
    found = records.load(question_id(question))
    if found is not None:
        say(f"search {found.id}: continues after {found.chosen} architectures in {len(found.rounds)} rounds")
        return found
    known = tuple(architecture.id for architecture in labels.architectures())
    batch = max(MIN_BATCH, config.workers or 0)
    record = SearchRecord(question, known, batch)
    say(f"search {record.id}: {len(known)} architectures are labelled already; source tasks: {opened.generation}")
    return record


@contextmanager
def _workers(config: SearchConfig, plan: SearchPlan, store: OpenStore) -> Iterator[MakeLabels]:
    """Yield the function that makes labels on Ray, which starts with the first ones. One campaign per task."""
    with lazy_session(config) as session:

        def make(requests: Sequence[LabelRequest]) -> CampaignProgress | None:
            started = session.start(requests)
            progress = None
            for task in dict.fromkeys(request.task for request in requests):
                todo = [request for request in requests if request.task == task]
                campaign = config.campaign(task)
                progress = label_requests(
                    campaign, todo, store.committer, store.spool, progress_display, preparation_display, *started
                )
                if progress.interrupted:
                    break
            return progress

        yield make
