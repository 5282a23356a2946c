"""A spool in an object store, where workers on any machine can put their reports and one committer finds them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

import pyarrow.fs as pa_fs

from workers.errors import UnknownNameError
from workers.messages.label import AttemptReport
from workers.storage.folder_spool import file_name, report_from_dict, report_to_dict
from workers.storage.objects import open_objects, read_object, write_object

log = logging.getLogger(__name__)

_BAD = "bad/"


class ObjectSpool:
    """One object a report: whole or not there at all, as object stores promise. Same contract as `FolderSpool`."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """options: as the label store's; environment variables such as AWS_* do as well."""
        self.place = uri
        self._files = open_objects(uri, options)

    def put(self, report: AttemptReport) -> None:
        """Writes `report`; the same attempt put twice is one object. Raises OSError."""
        write_object(self._files, file_name(report), json.dumps(report_to_dict(report)).encode())

    def pending(self) -> list[str]:
        """The objects that wait, oldest first."""
        found = self._files.get_file_info(pa_fs.FileSelector("", allow_not_found=True))
        waiting = [file for file in found if file.path.endswith(".json") and "/" not in file.path]
        return [file.path for file in sorted(waiting, key=lambda file: (file.mtime_ns or 0, file.path))]

    def read(self, limit: int | None = None) -> list[AttemptReport]:
        """Up to `limit` waiting reports, oldest first. Unreadable objects are moved to `bad/`, never deleted."""
        reports: list[AttemptReport] = []
        for name in self.pending():
            if limit is not None and len(reports) >= limit:
                break
            report = self._load(name)
            if report is not None:
                reports.append(report)
        return reports

    def remove(self, reports: Iterable[AttemptReport]) -> None:
        """Drops the objects of `reports`; those already gone are no error."""
        for report in reports:
            self._delete(file_name(report))

    def probe(self) -> None:
        """Raise OSError unless objects can be written and read here. Leaves one that no committer looks at."""
        name = ".probe"
        write_object(self._files, name, b"probe")
        read_object(self._files, name)

    def _load(self, name: str) -> AttemptReport | None:
        try:
            content = read_object(self._files, name)
        except FileNotFoundError:  # another committer of the same spool was faster
            return None
        try:
            report = report_from_dict(json.loads(content))
            if file_name(report) != name:  # remove() would never find it, and it would be committed for ever
                raise ValueError(f"holds attempt {report.job.attempt_id}")
        except (KeyError, TypeError, ValueError, AttributeError, UnknownNameError) as error:
            write_object(self._files, _BAD + name, content)
            self._delete(name)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            log.warning("spool %s: %s: not readable (%s): moved to %s", self.place, name, reason, _BAD)
            return None
        return report

    def _delete(self, name: str) -> None:
        try:
            self._files.delete_file(name)
        except FileNotFoundError:
            return
