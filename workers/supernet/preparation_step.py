"""How far a preparation is: free of torch, so that who only shows it need not load that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreparationStep:
    """How far a preparation is. part: what is being made. loss: of the largest network, or of the head."""

    part: str
    step: int
    steps: int
    loss: float
