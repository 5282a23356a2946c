"""Reports like those of a campaign, without training."""

from __future__ import annotations

from workers.messages.architecture import Architecture
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome
from workers.messages.recipe import Recipe


def report(
    seed: int = 0,
    *,
    outcome: Outcome = Outcome.OK,
    attempt: int = 1,
    campaign: str = "c1",
    task: str = "segmentation",
    space: str = "cells",
    final: bool = False,
    value: float = 0.5,
    started: float | None = None,
    graph: str = "",
) -> AttemptReport:
    recipe = Recipe(name=f"{task}.laptop", task=task, body={"width": 16}, train_images=64)
    request = LabelRequest(
        Architecture.of(space, {"depth": 2, "ops": ["a", "b"]}), task, "folder:/data", "f00d", "full", recipe, seed
    )
    measured = Measurement(
        value, "miou", {"miou": value, "acc": 0.75}, 1e9, 2e6, {"train": 3.5, "data": 0.25}, graph=graph
    )
    return AttemptReport(
        job=LabelJob(request, campaign, attempt),
        outcome=outcome,
        message="" if outcome is Outcome.OK else "it broke",
        node="node-1",
        started=1_700_000_000.5 + seed if started is None else started,
        seconds=4.25,
        measurement=measured if outcome is Outcome.OK else None,
        final=final,
    )
