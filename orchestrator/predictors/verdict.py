"""What the promotion gate concludes: the verdict on a candidate, and the figures behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Whether the candidate replaces the champion. The values are stored in decision files."""

    PROMOTE = "promote"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ScorePair:
    """One score of the champion and the candidate on the same labels."""

    champion: float
    candidate: float

    @property
    def gain(self) -> float:
        """By how much the candidate's score is larger."""
        return self.candidate - self.champion


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """Scores of one task.

    tested: number of hold-out labels. score: on all of them. error: median absolute error, in robust standard
    deviations of the labels. tested_before, before: number and score of the labels that the champion was tested on.
    """

    task: str
    tested: int
    score: ScorePair
    error: ScorePair
    tested_before: int
    before: ScorePair


@dataclass(frozen=True, slots=True)
class GateFigures:
    """Scores of the champion and the candidate.

    tested: number of hold-out labels. pooled: mean score of the label sets, weighted by their labels. low, high: 95 %
    bootstrap interval of the gain of `pooled`, which resamples architectures.
    """

    tested: int
    pooled: ScorePair
    low: float
    high: float
    tasks: tuple[TaskFigures, ...]


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict with its reason, one line. figures: None if no label set could be compared."""

    verdict: Verdict
    reason: str
    figures: GateFigures | None = None
