"""Whose labels a prediction answers for: label sets of one task, data set, fidelity and recipe, over all spaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.predictors.label_sets import LabelSetIdentity
from predictor.metadata import LearnedSet
from workers.messages.measured_recipe import WHOLE
from workers.messages.published_recipe import FIDELITY as PUBLISHED

_SHOWN = 3  # names of sets in a line


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """Label sets whose labels are of one kind; those with most labels first.

    recipe: name of the recipe; empty for published sets, whose recipes differ by network, and for sets of which a
    generation did not record it. fidelity: empty for these sets too.
    """

    task: str
    data: str
    fidelity: str
    recipe: str
    sets: tuple[LearnedSet, ...]

    @property
    def labels(self) -> int:
        """The number of training labels."""
        return sum(learned.labels for learned in self.sets)

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes of the labels, as `Predictor.predict` takes them; none if they were not recorded."""
        identities = (LabelSetIdentity.from_kind(learned.kind) for learned in self.sets)
        return tuple(sorted({identity.recipe for identity in identities if identity is not None}))

    @property
    def published(self) -> bool:
        """Whether the labels were imported."""
        return self.fidelity == PUBLISHED

    @property
    def whole(self) -> bool:
        """Whether the labels are costs of whole networks, without a head of ours."""
        return self.recipe.startswith(WHOLE)

    @property
    def title(self) -> str:
        """One line: task, data set, how the labels were made, their number, and the names of sets."""
        made = " ".join(part for part in (self.fidelity, self.recipe) if part) or "of an unrecorded recipe"
        names = ", ".join(learned.name for learned in self.sets[:_SHOWN])
        more = f" and {len(self.sets) - _SHOWN} more" if len(self.sets) > _SHOWN else ""
        return f"{self.task} on {self.data}, {made}: {self.labels} labels ({names}{more})"


def label_groups(sets: Sequence[LearnedSet], task: str) -> list[LabelGroup]:
    """Return the groups of a task; those with most labels first."""
    groups: dict[tuple[str, str, str], list[LearnedSet]] = defaultdict(list)
    for learned in sorted(sets, key=lambda learned: -learned.labels):
        if learned.task == task:
            identity = LabelSetIdentity.from_kind(learned.kind)
            fidelity, recipe = ("", "") if identity is None else (identity.fidelity, identity.recipe_name)
            groups[learned.data, fidelity, "" if fidelity == PUBLISHED else recipe].append(learned)
    found = [LabelGroup(task, *key, tuple(members)) for key, members in groups.items()]
    return sorted(found, key=lambda group: -group.labels)


def with_recipe(groups: Sequence[LabelGroup], name: str) -> list[LabelGroup]:
    """Return the part of each group whose labels have the recipe `name`, which may leave out the task; or none."""
    found = []
    for group in groups:
        names = {name, f"{group.task}.{name}"}
        sets = tuple(learned for learned in group.sets if _recipe_name(learned) in names)
        if sets:
            found.append(replace(group, sets=sets, recipe=_recipe_name(sets[0])))
    return sorted(found, key=lambda group: -group.labels)


def _recipe_name(learned: LearnedSet) -> str:
    identity = LabelSetIdentity.from_kind(learned.kind)
    return "" if identity is None else identity.recipe_name
