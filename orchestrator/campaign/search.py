"""Run a search: label the reference, then rounds of choose and label, then verify the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.search_config import SearchConfig
from orchestrator.campaign.search_labels import SearchLabels
from orchestrator.campaign.search_plan import SearchPlan
from orchestrator.errors import ConfigError
from orchestrator.search.chooser import Choice
from orchestrator.search.limits import LATENCY
from orchestrator.search.record import Chosen, SearchRecord, SearchRecords
from orchestrator.search.study import Study
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest

_MAX_FRUITLESS = 3  # rounds in a row without a new label: something is wrong with the set-up

MakeLabels = Callable[[Sequence[LabelRequest]], CampaignProgress | None]


@dataclass(frozen=True, slots=True)
class SearchRun:
    """What a search needs from outside.

    make_labels: makes labels and commits them to the store; None if there was nothing to make. notify: gets lines for
    the user. clock: seconds, of any origin. workers: labels that are made at once.
    """

    make_labels: MakeLabels
    notify: Callable[[str], None] = lambda line: None
    clock: Callable[[], float] = time.monotonic
    workers: int = 1


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """How a search ended. problem: why it stopped early; None if it did not."""

    record: SearchRecord
    verified: tuple[Architecture, ...]
    problem: str | None


class Search:
    """Searches until the budget is spent. What its record has already is not chosen again."""

    def __init__(
        self,
        config: SearchConfig,
        plan: SearchPlan,
        study: Study,
        reference: Architecture,
        labels: SearchLabels,
        records: SearchRecords,
        record: SearchRecord,
        run: SearchRun,
    ) -> None:
        self._config, self._plan, self._study, self._reference = config, plan, study, reference
        self._labels, self._records, self._run = labels, records, run
        self.record = record
        self._told = set[Architecture]()
        self._began, self._before = run.clock(), record.seconds

    def run(self) -> SearchEnd:
        """Label the reference, choose and label, and verify. Raises ConfigError if the reference cannot be labelled."""
        problem = self._label_reference()
        if problem is None:
            self._tell_known()
            problem = self._label_rounds()
        verified: tuple[Architecture, ...] = ()
        if problem is None and self._config.verify:
            verified, problem = self._verify()
        self._save()
        return SearchEnd(self.record, verified, problem)

    def _label_reference(self) -> str | None:
        """Label the reference in the search and for its verification. Returns a problem, if it was interrupted.

        Its verification comes first of all, so that a budget of time knows how long one takes.
        """
        wanted = self._plan.requests(self._config, self._reference, "reference")
        if problem := self._make([*wanted, *self._plan.verifications(self._config, self._reference)]):
            return problem
        if not self._labels.complete(self._reference):
            raise ConfigError(
                f"the reference {self._reference.genotype} could not be labelled: see `orchestrator status`, name "
                "another with --reference, or add --retry-failed"
            )
        return self._limit_latency()

    def _limit_latency(self) -> str | None:
        """Set the limit of latency, which may be a share of the reference's. Returns a problem."""
        for limit in self._config.limits:
            if limit.cost == LATENCY:
                measured = self._labels.latency(self._reference)
                if measured is None:
                    return "the latency of the reference was not measured: see `orchestrator status`"
                most = limit.absolute(measured)
                self._study.limit(LATENCY, most)
                self._run.notify(f"the reference takes {measured:.3g} ms; at most {most:.3g} ms wanted")
        return None

    def _tell_known(self) -> None:
        """Tell the study the labels that there were before, then those of the rounds so far."""
        known = set(self.record.known)
        for architecture in [self._reference, *self._labels.architectures()]:
            if architecture.id in known or architecture == self._reference:
                self._tell(architecture)

    def _label_rounds(self) -> str | None:
        """Choose and label until the budget is spent. Returns a problem, if there is one."""
        space, fruitless = self._study.held.space, 0
        for chosen in self.record.rounds:
            if problem := self._label([space.parse_json(one.genotype) for one in chosen], chosen):
                return problem
        while room := self._room():
            choices = self._study.ask(min(self.record.batch, room))
            if not choices:
                self._run.notify("no further network within the limits is left to label")
                return None
            self.record = self.record.with_round([_chosen(choice) for choice in choices])
            self._save()
            for choice in choices:
                self._run.notify(f"chosen: {choice.architecture.genotype}: {choice.note}")
            before = len(self._told)
            if problem := self._label([choice.architecture for choice in choices], self.record.rounds[-1]):
                return problem
            fruitless = 0 if len(self._told) > before else fruitless + 1
            if fruitless == _MAX_FRUITLESS:
                return f"{fruitless} rounds in a row gave no label: see `orchestrator status`"
        return None

    def _verify(self) -> tuple[tuple[Architecture, ...], str | None]:
        """Label the best networks with the higher fidelity. Returns them, and a problem if there is one."""
        space = self._study.held.space
        if len(self.record.verified) < self._config.verify:  # not chosen yet, or more are wanted now
            best = best_of_front(self._study, self._config.verify, self._reference)
            self.record = replace(self.record, verified=tuple(a.genotype for a in best))
            self._save()
        chosen = tuple(space.parse_json(genotype) for genotype in self.record.verified)[: self._config.verify]
        todo = [r for a in (self._reference, *chosen) for r in self._plan.verifications(self._config, a)]
        return chosen, self._make(todo)

    def _save(self) -> None:
        """Write the record, with the seconds so far."""
        self.record = replace(self.record, seconds=self._seconds())
        self._records.save(self.record)

    def _label(self, architectures: Sequence[Architecture], chosen: Sequence[Chosen]) -> str | None:
        """Label a round and tell the study. Returns a problem, if it was interrupted."""
        requests = [
            request
            for architecture, one in zip(architectures, chosen, strict=True)
            for request in self._plan.requests(self._config, architecture, one.reason)
        ]
        if problem := self._make(requests):
            return problem
        for architecture in architectures:
            self._tell(architecture)
        return None

    def _tell(self, architecture: Architecture) -> None:
        """Tell the study what the store has of an architecture; None for a label that failed."""
        if architecture in self._told:
            return
        values = self._labels.values(architecture)
        self._study.tell(architecture, values, self._labels.latency(architecture))
        if values is not None:
            self._told.add(architecture)

    def _make(self, requests: Sequence[LabelRequest]) -> str | None:
        """Make the labels that are missing. Returns a problem if the campaign was interrupted."""
        todo = self._labels.missing(requests)
        if not todo:
            return None
        progress = self._run.make_labels(todo)
        self._labels.update()
        if progress is not None and progress.interrupted:
            return progress.problem or "interrupted: run the command again to continue"
        return None

    def _room(self) -> int:
        """Return how many further architectures the budget allows."""
        budget = self._config.parsed_budget
        if budget.labels is not None:
            return max(0, budget.labels - self.record.chosen)
        left = (budget.seconds or 0.0) - self._seconds() - self._verification_seconds()
        return self.record.batch if left > 0 else 0

    def _verification_seconds(self) -> float:
        """Return the expected seconds of the verification, from those of the reference, which has most FLOPs."""
        each = self._labels.verification_seconds(self._reference)
        return each * self._config.verify / max(1, self._run.workers)

    def _seconds(self) -> float:
        return self._before + self._run.clock() - self._began


def best_of_front(study: Study, count: int, reference: Architecture) -> list[Architecture]:
    """Return up to `count` labelled architectures within the limits to verify, the best first.

    They are ranked by the predictor that has learned all labels, which averages out the noise of single labels. Half of
    them have the highest values; the others are on the front by these values. Of those that compute the same, only the
    cheapest counts.
    """
    found = [row.architecture for row in study.found() if row.within and row.architecture != reference]
    found.sort(key=lambda a: (study.networks.cost(a).flops, a.id))
    found = list({study.function(a): a for a in reversed(found)}.values())
    if not found:
        return []
    values = dict(zip(found, study.smoothed(found), strict=True))
    best = sorted(found, key=lambda a: (-values[a], a.id))
    front = set(study.front_of(found, np.array([values[a] for a in found])))
    first = best[: (count + 1) // 2]
    others = [a for a in best if a not in first]
    return [*first, *sorted(others, key=lambda a: a not in front)][:count]


def _chosen(choice: Choice) -> Chosen:
    return Chosen(choice.architecture.genotype, choice.note, choice.mean, choice.deviation)
