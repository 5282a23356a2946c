"""A spool in an object store: workers on any machine put their reports there and one committer reads them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import pyarrow.fs as pa_fs

from predictor.errors import AIOPError
from workers.messages.label import AttemptReport, Outcome
from workers.storage.objects import open_objects, read_object, write_object
from workers.storage.report_json import report_file_name, report_from_json, report_to_json

log = logging.getLogger(__name__)

_BAD = "bad/"


class ObjectSpool:
    """A spool with one object per report. An object is complete or absent. Same contract as `FolderSpool`."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """options: those of the label store; environment variables such as AWS_* work too."""
        self.location = uri
        self._files = open_objects(uri, options)

    def put(self, report: AttemptReport) -> None:
        """Write `report`. See `Spool.put`. Raises OSError."""
        name = report_file_name(report)
        if report.outcome is Outcome.OK or not self._is_success(name):
            write_object(self._files, name, report_to_json(report).encode())

    def pending(self) -> list[str]:
        """Return the names of the objects that wait, oldest first."""
        entries = self._files.get_file_info(pa_fs.FileSelector("", allow_not_found=True))
        waiting = [file for file in entries if file.path.endswith(".json") and "/" not in file.path]
        return [file.path for file in sorted(waiting, key=lambda file: (file.mtime_ns or 0, file.path))]

    def read(self, limit: int | None = None) -> list[AttemptReport]:
        """Return up to `limit` waiting reports, oldest first. Unreadable objects are moved to `bad/`, never deleted."""
        reports: list[AttemptReport] = []
        for name in self.pending():
            if limit is not None and len(reports) >= limit:
                break
            report = self._load(name)
            if report is not None:
                reports.append(report)
        return reports

    def remove(self, reports: Iterable[AttemptReport]) -> None:
        """Remove the objects of `reports`. An object that is already gone is no error."""
        for report in reports:
            self._delete(report_file_name(report))

    def probe(self) -> None:
        """Raise OSError unless objects can be written and read here. Leaves one object, which no committer reads."""
        name = ".probe"
        write_object(self._files, name, b"probe")
        read_object(self._files, name)

    def _is_success(self, name: str) -> bool:
        try:
            return report_from_json(read_object(self._files, name)).outcome is Outcome.OK
        except (FileNotFoundError, ValueError, AIOPError):  # no such object, or one that is not readable
            return False

    def _load(self, name: str) -> AttemptReport | None:
        try:
            content = read_object(self._files, name)
        except FileNotFoundError:  # another committer of the same spool was faster
            return None
        try:
            report = report_from_json(content)
            if report_file_name(report) != name:  # remove() would not find it, so it would be committed again
                raise ValueError(f"holds attempt {report.job.attempt_id}")
        except (ValueError, AIOPError) as error:
            write_object(self._files, _BAD + name, content)
            self._delete(name)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            log.warning("spool %s: %s: not readable (%s): moved to %s", self.location, name, reason, _BAD)
            return None
        return report

    def _delete(self, name: str) -> None:
        try:
            self._files.delete_file(name)
        except FileNotFoundError:
            return
