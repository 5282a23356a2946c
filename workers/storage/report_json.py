"""Attempt reports as JSON: the content of spool files and objects. The keys are a stored format and never change."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Self
from urllib.parse import quote

from pydantic import BaseModel, Field, model_validator

from predictor.graph.structure import Graph
from predictor.text_files import parse_json
from workers.messages.architecture import Architecture
from workers.messages.fidelity import get_fidelity
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome

_LAST_SECOND = 1e11  # since the epoch: in the year 5138, half of what a timestamp can be


def report_file_name(report: AttemptReport) -> str:
    """Return the name of the file or object that holds `report`."""
    # Quoting changes nothing in a usual id. It keeps a campaign called "a/b" inside the folder.
    return f"{quote(report.job.attempt_id, safe='')}.json"


def report_to_json(report: AttemptReport) -> str:
    """Return `report` as JSON; `report_from_json` is the inverse."""
    request = report.job.request
    document = {
        "request": {
            "space": request.architecture.space,
            "genotype": request.architecture.genotype,
            **({"declaration": request.architecture.declaration} if request.architecture.declaration else {}),
            "task": request.task,
            "data": request.data,
            "fingerprint": request.fingerprint,
            "fidelity": request.fidelity,
            "recipe": request.recipe.model_dump(mode="json"),
            "seed": request.seed,
            "also": list(request.also),
            **({"reason": request.reason} if request.reason else {}),
        },
        "campaign": report.job.campaign,
        "attempt": report.job.attempt,
        "split": report.job.split,
        "outcome": report.outcome.value,
        "message": report.message,
        "node": report.node,
        "started": report.started,
        "seconds": report.seconds,
        "final": report.final,
        "measurement": report.measurement and asdict(report.measurement),
    }
    return json.dumps(document)


def report_from_json(content: str | bytes) -> AttemptReport:
    """Return the report that `report_to_json` wrote.

    Raises:
        ValueError: `content` is not such JSON, or the store could not hold it.
        AIOPError: the fidelity is unknown, or a graph is none.
    """
    return _ReportDocument.model_validate(parse_json(content)).to_report()


class _RequestDocument(BaseModel):
    space: str
    genotype: str
    declaration: str = ""
    task: str
    data: str
    fingerprint: str
    fidelity: str
    recipe: dict[str, Any]
    seed: int
    also: tuple[str, ...] = ()
    reason: str = ""

    def to_request(self) -> LabelRequest:
        return LabelRequest(
            architecture=Architecture(self.space, self.genotype, self.declaration),
            task=self.task,
            data=self.data,
            fingerprint=self.fingerprint,
            fidelity=self.fidelity,
            recipe=get_fidelity(self.fidelity).recipe.model_validate(self.recipe),
            seed=self.seed,
            also=self.also,
            reason=self.reason,
        )


class _ReportDocument(BaseModel):
    request: _RequestDocument
    campaign: str
    attempt: int
    split: int
    outcome: Outcome
    message: str
    node: str
    started: float = Field(ge=0, le=_LAST_SECOND)
    seconds: float = Field(ge=0, le=_LAST_SECOND)
    final: bool
    measurement: Measurement | None

    @model_validator(mode="after")
    def _measured_if_ok(self) -> Self:
        if (self.outcome is Outcome.OK) != (self.measurement is not None):
            raise ValueError("a report has a measurement exactly when it succeeded")
        if self.measurement is not None:
            self._check_results(self.measurement)
        return self

    def _check_results(self, measurement: Measurement) -> None:
        """Raise ValueError unless there is a result of each companion task, and GraphError for what is no graph."""
        if missing := set(self.request.also) - set(measurement.also):
            raise ValueError(f"has no result of {', '.join(sorted(missing))}")
        for result in (measurement, *measurement.also.values()):
            if result.graph:
                Graph.from_json(result.graph)

    def to_report(self) -> AttemptReport:
        return AttemptReport(
            job=LabelJob(self.request.to_request(), self.campaign, self.attempt, self.split),
            outcome=self.outcome,
            message=self.message,
            node=self.node,
            started=self.started,
            seconds=self.seconds,
            measurement=self.measurement,
            final=self.final,
        )
