"""A folder of reports that wait for the store: nothing a worker measured is lost when a process dies."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workers.errors import UnknownNameError
from workers.messages.architecture import Architecture
from workers.messages.fidelity import get_fidelity
from workers.messages.label import AttemptReport, LabelJob, LabelRequest, Measurement, Outcome

log = logging.getLogger(__name__)


def report_to_dict(report: AttemptReport) -> dict[str, Any]:
    """`report` in values that JSON can hold; `report_from_dict` is the inverse."""
    request, measured = report.job.request, report.measurement
    return {
        "request": {
            "space": request.architecture.space,
            "genotype": request.architecture.genotype,
            "task": request.task,
            "data": request.data,
            "fingerprint": request.fingerprint,
            "fidelity": request.fidelity,
            "recipe": request.recipe.model_dump(mode="json"),
            "seed": request.seed,
            "also": list(request.also),
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
        "measurement": measured and _measurement_to_dict(measured),
    }


def _measurement_to_dict(measured: Measurement) -> dict[str, Any]:
    return {
        "value": measured.value,
        "metric": measured.metric,
        "metrics": dict(measured.metrics),
        "flops": measured.flops,
        "params": measured.params,
        "seconds": dict(measured.seconds),
        "also": {task: _measurement_to_dict(other) for task, other in measured.also.items()},
        "graph": measured.graph,
    }


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}


def _measurement_from_dict(values: dict[str, Any]) -> Measurement:
    return Measurement(
        value=float(values["value"]),
        metric=str(values["metric"]),
        metrics=_numbers(values["metrics"]),
        flops=float(values["flops"]),
        params=float(values["params"]),
        seconds=_numbers(values["seconds"]),
        also={str(task): _measurement_from_dict(other) for task, other in values.get("also", {}).items()},
        graph=str(values.get("graph", "")),
    )


def report_from_dict(values: dict[str, Any]) -> AttemptReport:
    """The report that `report_to_dict` wrote.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, UnknownNameError: `values` is not such a dictionary.
    """
    asked = values["request"]
    request = LabelRequest(
        architecture=Architecture(str(asked["space"]), str(asked["genotype"])),
        task=str(asked["task"]),
        data=str(asked["data"]),
        fingerprint=str(asked["fingerprint"]),
        fidelity=str(asked["fidelity"]),
        recipe=get_fidelity(str(asked["fidelity"])).recipe.model_validate(asked["recipe"]),
        seed=int(asked["seed"]),
        also=tuple(str(task) for task in asked.get("also", ())),
    )
    measured = values["measurement"]
    outcome = Outcome(values["outcome"])
    if (outcome is Outcome.OK) != (measured is not None):
        raise ValueError("a report has a measurement exactly when it succeeded")
    return AttemptReport(
        job=LabelJob(request, str(values["campaign"]), int(values["attempt"]), int(values["split"])),
        outcome=outcome,
        message=str(values["message"]),
        node=str(values["node"]),
        started=float(values["started"]),
        seconds=float(values["seconds"]),
        measurement=None if measured is None else _measurement_from_dict(measured),
        final=bool(values["final"]),
    )


def file_name(report: AttemptReport) -> str:
    """Of the file or object that holds `report`."""
    # Quoting changes nothing in a usual id and keeps a campaign called "a/b" inside the folder.
    return f"{quote(report.job.attempt_id, safe='')}.json"


class FolderSpool:
    """One JSON file a report. A file appears whole or not at all, and goes only when it is in the store."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.place = directory, str(directory.resolve())
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, report: AttemptReport) -> Path:
        """Writes `report` durably; the same attempt put twice is one file."""
        path = self._path(report)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(report_to_dict(report), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        self._sync_directory()
        return path

    def pending(self) -> list[Path]:
        """The files that wait, oldest first."""
        found: list[tuple[int, str]] = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    try:
                        found.append((entry.stat().st_mtime_ns, entry.name))
                    except FileNotFoundError:  # another committer of the same spool was faster
                        continue
        return [self.directory / name for _, name in sorted(found)]

    def read(self, limit: int | None = None) -> list[AttemptReport]:
        """Up to `limit` waiting reports, oldest first. Unreadable files are set aside in `bad/`, never deleted."""
        reports: list[AttemptReport] = []
        for path in self.pending():
            if limit is not None and len(reports) >= limit:
                break
            report = self._load(path)
            if report is not None:
                reports.append(report)
        return reports

    def remove(self, reports: Iterable[AttemptReport]) -> None:
        """Drops the files of `reports`; those already gone are no error."""
        for report in reports:
            self._path(report).unlink(missing_ok=True)

    def _path(self, report: AttemptReport) -> Path:
        return self.directory / file_name(report)

    def _load(self, path: Path) -> AttemptReport | None:
        try:
            report = report_from_dict(json.loads(path.read_text(encoding="utf-8")))
            if self._path(report) != path:  # remove() would never find it, and it would be committed for ever
                raise ValueError(f"holds attempt {report.job.attempt_id}")
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError, AttributeError, UnknownNameError) as error:
            self._set_aside(path, f"{type(error).__name__}: {' '.join(str(error).split())}")
            return None
        return report

    def _set_aside(self, path: Path, reason: str) -> None:
        bad = self.directory / "bad"
        try:
            bad.mkdir(exist_ok=True)
            target, number = bad / path.name, 1
            while target.exists():
                target, number = bad / f"{path.stem}.{number}.json", number + 1
            os.replace(path, target)
        except OSError as error:
            log.warning("spool file %s: not readable (%s) and not movable (%s): skipped", path, reason, error)
            return
        log.warning("spool file %s: not readable (%s): moved to %s", path, reason, target)

    def _sync_directory(self) -> None:
        # Without this a power cut may take back the rename although the file's content is on disk.
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
