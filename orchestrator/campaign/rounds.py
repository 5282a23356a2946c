"""A campaign in rounds: choose a batch from the labels so far, label it, and repeat."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import CampaignPlan
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.search.chooser import Choice, Chooser
from orchestrator.search.history import LabelledArchitecture, labelled_architectures
from orchestrator.store.base import LabelStore
from workers.messages.architecture import Architecture
from workers.messages.label import LabelRequest

MIN_BATCH = 4  # architectures of a round; each round waits for its last label
_MAX_FRUITLESS = 3  # rounds in a row without a new label: something is wrong with the set-up

MakeLabels = Callable[[Sequence[LabelRequest]], CampaignProgress]


@dataclass(frozen=True, slots=True)
class RoundsResult:
    """What the rounds ended with.

    requests: of the labelled architectures that count, and of those that were chosen without a label. choices: of this
    run. progress: of the last round; None if there was nothing to label. problem: why fewer labels than requested are
    there; None if they are.
    """

    requests: tuple[LabelRequest, ...]
    choices: tuple[Choice, ...]
    progress: CampaignProgress | None
    problem: str | None

    def plan(self, template: LabelRequest) -> CampaignPlan:
        """Return the plan whose labels a summary is of."""
        return CampaignPlan(self.requests or (template,), ())


def run_rounds(
    config: CampaignConfig,
    template: LabelRequest,
    store: LabelStore,
    chooser: Chooser,
    batch: int,
    make_labels: MakeLabels,
    notify: Callable[[str], None] = lambda line: None,
) -> RoundsResult:
    """Label until the store has `config.num` architectures of the template's set, each with all seeds.

    Labels that the store already has count too, and their missing seeds are made first. batch:
    architectures of a round. make_labels: makes labels and commits them to the store. notify: gets a line per choice.
    """
    rounds = _Rounds(config, template, store, chooser, batch)
    progress, problem, fruitless = None, None, 0
    while todo := rounds.next_requests(notify):
        before = len(store.keys())
        progress = make_labels(todo)
        rounds.update()
        if progress.interrupted:
            problem = progress.problem or "interrupted"
            break
        fruitless = 0 if len(store.keys()) > before else fruitless + 1
        if fruitless == _MAX_FRUITLESS:
            problem = f"{fruitless} rounds in a row gave no label: see `orchestrator status`"
            break
    if problem is None and rounds.room:
        problem = (
            f"no further network with another graph among the candidates: {rounds.room} fewer than --num "
            f"{config.num} are labelled: raise --pool, or use --choose random"
        )
    return RoundsResult(rounds.requests(), tuple(rounds.choices), progress, problem)


class _Rounds:
    """The labels and choices of a campaign so far."""

    def __init__(
        self, config: CampaignConfig, template: LabelRequest, store: LabelStore, chooser: Chooser, batch: int
    ) -> None:
        self._config, self._template, self._store = config, template, store
        self._chooser, self._batch = chooser, batch
        self._labelled: list[LabelledArchitecture] = []
        self._attempted: set[str] = set()
        self.choices: list[Choice] = []
        self.update()

    @property
    def room(self) -> int:
        """How many architectures are still to be labelled."""
        return max(0, self._config.num - len(self._labelled))

    def update(self) -> None:
        """Read the labels of the store and tell the chooser those that are new, and which choices have none."""
        known = {labelled.architecture for labelled in self._labelled}
        self._labelled = labelled_architectures(self._store, self._template)
        for labelled in self._labelled:
            if labelled.architecture not in known:
                self._chooser.tell(labelled.architecture, labelled.value, labelled.seconds)
        known = {labelled.architecture for labelled in self._labelled}
        for choice in self.choices:
            if choice.architecture not in known:
                self._chooser.tell(choice.architecture, None)

    def next_requests(self, notify: Callable[[str], None]) -> list[LabelRequest]:
        """Return what to label next: missing seeds, and a batch of new choices. Nothing twice in one run."""
        settled = self._store.keys() if self._config.retry_failed else self._store.keys() | self._store.finally_failed()
        counted = [labelled.architecture for labelled in self._labelled[: self._config.num]]
        todo = [request for architecture in counted for request in self._seeds(architecture)]
        if self.room:
            choices = self._chooser.ask(min(self._batch, self.room))
            for choice in choices:
                notify(f"chosen: {choice.architecture.genotype}: {choice.note}")
                todo += self._seeds(choice.architecture, choice.note)
            self.choices += choices
        todo = [request for request in todo if not self._is_settled(request, settled)]
        self._attempted |= {request.key for request in todo}
        return todo

    def requests(self) -> tuple[LabelRequest, ...]:
        """Return the requests of up to `num` architectures: labelled ones, then choices without a label."""
        labelled = [labelled.architecture for labelled in self._labelled]
        architectures = dict.fromkeys([*labelled, *(choice.architecture for choice in self.choices)])
        return tuple(r for a in list(architectures)[: self._config.num] for r in self._seeds(a))

    def _is_settled(self, request: LabelRequest, settled: Collection[str]) -> bool:
        return request.key in self._attempted or (
            request.key in settled and all(key in settled for key in request.keys)
        )

    def _seeds(self, architecture: Architecture, reason: str = "") -> list[LabelRequest]:
        """Return a request for each seed of the campaign."""
        seeds = range(self._config.seed, self._config.seed + self._config.repeat)
        return [replace(self._template, architecture=architecture, seed=seed, reason=reason) for seed in seeds]
