"""A store for reports: two tasks, repeated seeds, cheap and full labels, latencies and failures, without training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from orchestrator.store.delta import DeltaLabelStore
from tests.support.labelled_networks import labelled, network
from workers.latency.labels import headed_request
from workers.messages.label import AttemptReport, LabelJob, Outcome

TASKS = ("seg", "det")
NETWORKS = 24
DEVICE = "cpu:test/threads1"


def changed(
    report: AttemptReport, *, value: float, seed: int = 0, fidelity: str = "full", seconds: float = 4.0
) -> AttemptReport:
    """Return a report with another value, seed, fidelity and duration."""
    assert report.measurement is not None
    request = dataclasses.replace(report.job.request, seed=seed, fidelity=fidelity)
    phases = {"train": seconds * 0.75, "data": seconds * 0.25}
    measurement = dataclasses.replace(report.measurement, value=value, metrics={"miou": value}, seconds=phases)
    costs = {"flops": float(network(_number(report)).flops), "params": float(network(_number(report)).params)}
    measurement = dataclasses.replace(measurement, **costs)
    job = dataclasses.replace(report.job, request=request, campaign=f"{fidelity}-{request.task}")
    started = 1_700_000_000.0 + 5 * _number(report) + 1000 * seed
    return dataclasses.replace(report, job=job, measurement=measurement, seconds=seconds, started=started)


def reports(networks: int = NETWORKS) -> list[AttemptReport]:
    """Return the labels: two seeds of fidelity full and one of proxy of each network and task, and one latency."""
    made = list[AttemptReport]()
    for number in range(networks):
        for shift, task in enumerate(TASKS):
            base = labelled(number, task)
            assert base.measurement is not None
            value = base.measurement.value
            wobble = ((number * 7 + shift) % 5 - 2) / 400
            made += [changed(base, value=value + seed * wobble, seed=seed) for seed in (0, 1)]
            made.append(changed(base, value=100 * value + number % 3, fidelity="proxy", seconds=0.5))
        made.append(latency(number))
    return made


def latency(number: int) -> AttemptReport:
    """Return the latency of a network with the head of its label of seg."""
    template = labelled(number, "seg")
    asked = template.job.request
    request = headed_request(asked.architecture, asked.recipe, (5, 3, 0), (3, *asked.recipe.input_size), DEVICE)
    assert template.measurement is not None
    milliseconds = 1.0 + network(number).flops / 1e8
    measurement = dataclasses.replace(template.measurement, value=milliseconds, metric="latency_ms", metrics={})
    return dataclasses.replace(
        template, job=LabelJob(request, "full-seg"), measurement=measurement, started=1_700_000_000.0, seconds=0.1
    )


def failures() -> list[AttemptReport]:
    """Return three failed attempts of two kinds."""
    base = labelled(500, "seg")
    kinds = ((Outcome.CRASH, False), (Outcome.CRASH, True), (Outcome.DIVERGED, True))
    return [
        dataclasses.replace(
            base,
            job=LabelJob(base.job.request, "full-seg", attempt=attempt),
            outcome=outcome,
            message=f"attempt {attempt}: it broke",
            measurement=None,
            started=1_700_000_000.0 + attempt,
            final=final,
        )
        for attempt, (outcome, final) in enumerate(kinds, 1)
    ]


def make_store(folder: Path) -> Path:
    """Commit all of it to FOLDER/labels and return its path."""
    DeltaLabelStore(folder / "labels").commit([*reports(), *failures()])
    return folder / "labels"


def _number(report: AttemptReport) -> int:
    number: int = report.job.request.architecture.values["number"]
    return number
