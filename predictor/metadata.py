"""What is recorded about a generation: its model, the labels it was trained on and its hold-out scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

# An alias is the key in generation.json, where it differs from the name here: files written before must stay readable.


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledNetworks:
    """What the networks of a label set have in common, so that others can be built like them.

    recipe: the fields of the labels' recipe that decide a network; of published labels the name and the image size.
    classes, things, joints: numbers of the data set; None if they could not be found out, or are not needed.
    """

    recipe: dict[str, Any]
    classes: int | None = None
    things: int | None = None
    joints: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedSet:
    """A label set that the model was trained on. labels: number of training labels.

    kind: space, task, data, fidelity, recipe and, of published labels, the metric, which identify the set. Empty in
    generations that did not record it; those that did not record the metric lack it.
    networks: None in generations that did not record it. base: whether it came with the generation that was extended.
    """

    name: str
    task: str
    data: str
    space: str = ""
    labels: int
    kind: tuple[str, ...] = ()
    networks: LabelledNetworks | None = None
    base: bool = False

    def is_same_set(self, other: LearnedSet) -> bool:
        """Return whether the other is the same set, as far as both record what identifies it."""
        shorter = min(len(self.kind), len(other.kind))
        return self.kind == other.kind or (shorter > 0 and self.kind[:shorter] == other.kind[:shorter])


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOutScores:
    """Scores on the held-out labels of one set. tested: their number. The others: see `evaluation.metrics.Scores`.

    mae and coverage are None for a model that only ranks.
    """

    set_name: Annotated[str, Field(alias="set")]
    task: str
    tested: int
    mae: float | None = None
    spearman: float
    kendall: float | None = None
    regret: float | None = None
    coverage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOrigin:
    """How a refreshed generation came about.

    champion: number of the generation it was updated from. new_labels: number of labels that were new.
    snapshot_problem: why the champion's labels were re-read from the store; None if the snapshot was used.
    """

    champion: Annotated[str, Field(alias="from")]
    new_labels: Annotated[int, Field(alias="new")]
    snapshot_problem: Annotated[str | None, Field(alias="replay")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationMetadata:
    """What is recorded about one generation.

    made: time of the training, ISO 8601. store, version: where the labels came from. labels: number of training labels.
    without_graph: number of labels that were skipped because their network has no graph. refreshed: None if the
    generation was trained from scratch. outliers: by set name, the architectures whose new labels were clipped.
    """

    model: str
    made: str | None = None
    store: str = ""
    version: int = -1
    labels: int = 0
    without_graph: int = 0
    sets: tuple[LearnedSet, ...] = ()
    refreshed: RefreshOrigin | None = None
    outliers: Annotated[dict[str, list[str]], Field(alias="suspects")] = field(default_factory=dict)
    hold_out: tuple[HoldOutScores, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document for generation.json.

        What was not recorded is left out, and so are "refreshed" and "suspects" of a generation trained from scratch.
        """
        document: dict[str, Any] = _METADATA.dump_python(self, mode="json", by_alias=True)
        if self.refreshed is None:
            del document["refreshed"], document["suspects"]
        for learned in document["sets"]:
            if learned["networks"] is None:
                del learned["networks"]
            if not learned["base"]:
                del learned["base"]
        return document

    @classmethod
    def from_json(cls, document: Any) -> GenerationMetadata:
        """Inverse of `to_json`; other keys are ignored. Raises ValueError for missing keys and wrong types."""
        return _METADATA.validate_python(document)


_METADATA = TypeAdapter(GenerationMetadata)
_HOLD_OUT = TypeAdapter(tuple[HoldOutScores, ...])


def hold_out_to_json(scores: tuple[HoldOutScores, ...]) -> list[dict[str, Any]]:
    """Return the rows in their stored form, one per set."""
    rows: list[dict[str, Any]] = _HOLD_OUT.dump_python(scores, mode="json", by_alias=True)
    return rows
