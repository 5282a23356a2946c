"""The progress of a preparation, in a module without torch, so that a display can import it quickly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreparationStep:
    """One training step of a preparation.

    part: what is being trained. step: number of the step, from 1, out of `steps`. loss: the loss of the largest network
    for shared weights, of the head for a shared head.
    """

    part: str
    step: int
    steps: int
    loss: float
