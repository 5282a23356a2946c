"""A spool in a folder: reports wait there for the store, so no measurement is lost when a process dies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from predictor.atomic_write import create_file, replace_file
from predictor.errors import AIOPError
from workers.messages.label import AttemptReport, Outcome
from workers.storage.report_json import report_file_name, report_from_json, report_to_json

log = logging.getLogger(__name__)


class FolderSpool:
    """A spool with one JSON file per report. A file is complete or absent, and is removed once it is in the store."""

    def __init__(self, directory: Path) -> None:
        """directory: is created if missing."""
        self.directory, self.location = directory, str(directory.resolve())
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, report: AttemptReport) -> Path:
        """Write `report` and flush it to disk. See `Spool.put`. Raises OSError."""
        path, content = self._path(report), report_to_json(report)
        if report.outcome is Outcome.OK:
            replace_file(path, content)
            return path
        try:
            create_file(path, content)
        except FileExistsError:
            if not self._is_success(path):
                replace_file(path, content)
        return path

    def pending(self) -> list[Path]:
        """Return the files that wait, oldest first."""
        files: list[tuple[int, str]] = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    try:
                        files.append((entry.stat().st_mtime_ns, entry.name))
                    except FileNotFoundError:  # another committer of the same spool was faster
                        continue
        return [self.directory / name for _, name in sorted(files)]

    def read(self, limit: int | None = None) -> list[AttemptReport]:
        """Return up to `limit` waiting reports, oldest first. Unreadable files are moved to `bad/`, never deleted."""
        reports: list[AttemptReport] = []
        for path in self.pending():
            if limit is not None and len(reports) >= limit:
                break
            report = self._load(path)
            if report is not None:
                reports.append(report)
        return reports

    def remove(self, reports: Iterable[AttemptReport]) -> None:
        """Remove the files of `reports`. A file that is already gone is no error."""
        for report in reports:
            self._path(report).unlink(missing_ok=True)

    def _is_success(self, path: Path) -> bool:
        try:
            return report_from_json(path.read_text(encoding="utf-8")).outcome is Outcome.OK
        except (OSError, ValueError, AIOPError):  # in the store meanwhile, or not readable
            return False

    def _path(self, report: AttemptReport) -> Path:
        return self.directory / report_file_name(report)

    def _load(self, path: Path) -> AttemptReport | None:
        try:
            report = report_from_json(path.read_text(encoding="utf-8"))
            if self._path(report) != path:  # remove() would not find it, so it would be committed again and again
                raise ValueError(f"holds attempt {report.job.attempt_id}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AIOPError) as error:
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
