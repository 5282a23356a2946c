"""A published result, as a line of a file names it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One result.

    line: its line number; the header is line 1. model: with its arguments. input_size: height and width in pixels.
    space: name that the user gives the space of the network; may be empty. seed: number of the training, if given.
    """

    line: int
    model: str
    task: str
    dataset: str
    metric: str
    value: float
    input_size: tuple[int, int]
    recipe: str
    space: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that is not imported, and the reason."""

    line: int
    model: str
    reason: str
