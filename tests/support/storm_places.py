"""Where the labels of a campaign under storm are: a folder whose disk has faults, or a bucket whose server has."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from orchestrator.store.layout import spool_uri
from predictor.errors import AIOPError
from tests.support.faulty_object_store import FaultyObjectStore
from workers.messages.label import AttemptReport
from workers.storage.folder_spool import FolderSpool
from workers.storage.object_spool import ObjectSpool
from workers.storage.objects import open_objects, read_object
from workers.storage.report_json import report_from_json

_DISK_FULL_S = 1.0
_SERVER_S = 2.0  # at most, that a server has a fault

Kinds = Mapping[str, tuple[float, Callable[[], bool]]]  # weight, and what causes the fault: False if it could not


class Place(Protocol):
    """A store. kinds: its faults by name. damaged: keys of reports that it has damaged."""

    uri: str
    kinds: Kinds
    damaged: set[str]

    def waiting(self) -> set[str]:
        """Return the attempts in the spool."""
        ...

    def reports(self) -> list[AttemptReport]:
        """Return the waiting reports without setting damaged ones aside, as the committer does."""
        ...


class FolderUnderStorm:
    """A store in a folder on a separate disk."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.uri, self.damaged = str(folder), set[str]()
        self._folder, self._rng = folder, rng
        self.kinds: Kinds = {
            "fill the disk": (2, self._fill_disk),
            "refuse all writes for a while": (1, self._refuse_writes),
            "damage a waiting report": (2, self._damage_report),
            "leave half-written files": (2, self._litter),
        }

    def waiting(self) -> set[str]:
        """See `Place.waiting`."""
        return {path.stem for path in self._pending()}

    def reports(self) -> list[AttemptReport]:
        """See `Place.reports`."""
        reports = list[AttemptReport]()
        for path in self._pending():
            with suppress(OSError, ValueError, AIOPError):
                reports.append(report_from_json(path.read_text(encoding="utf-8")))
        return reports

    def _pending(self) -> list[Path]:
        return FolderSpool(self._folder / "_spool").pending()

    def _fill_disk(self) -> bool:
        ballast = self._folder / "ballast"
        with suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
        time.sleep(self._rng.uniform(0.1, _DISK_FULL_S))
        ballast.unlink(missing_ok=True)
        return True

    def _refuse_writes(self) -> bool:
        """Make the store's disk read-only. That fails while a file is open for writing, and is then no fault."""
        if subprocess.run(["mount", "-o", "remount,ro", str(self._folder)], capture_output=True).returncode:
            return False
        time.sleep(self._rng.uniform(0.1, _DISK_FULL_S))
        subprocess.run(["mount", "-o", "remount,rw", str(self._folder)], check=True)
        return True

    def _damage_report(self) -> bool:
        """Cut off the end of a report that waits. Its label is no longer acknowledged, and has to be made again."""
        waiting = self._pending()
        if not waiting:
            return False
        path = self._rng.choice(waiting)
        with suppress(OSError):
            text = path.read_text()
            os.truncate(path, len(text) // 2)
            self.damaged.add(path.name.split("-")[0])
        return True

    def _litter(self) -> bool:
        """Leave what writers leave that die in the middle."""
        for folder, name in (
            ("_spool", ".tmp-1.json"),
            ("labels", "part-0.parquet"),
            ("labels/_delta_log", "_tmp.json"),
        ):
            if (self._folder / folder).is_dir():
                (self._folder / folder / f"{self._rng.randrange(1 << 30)}{name}").write_bytes(b"PAR1 half")
        return True


class BucketUnderStorm:
    """A store in a bucket behind a server with faults, which AWS_ENDPOINT_URL names."""

    def __init__(self, uri: str, server: FaultyObjectStore, rng: random.Random) -> None:
        self.uri, self.damaged = uri, set[str]()
        self._server, self._rng = server, rng
        self._spool, self._files = ObjectSpool(spool_uri(uri)), open_objects(spool_uri(uri))
        self.kinds: Kinds = {
            "answer 503 for a while": (6, lambda: self._cause("refuse")),
            "answer slowly for a while": (3, lambda: self._cause("slow")),
            "cut connections for a while": (4, lambda: self._cause("cut")),
            "lose answers for a while": (6, lambda: self._cause("lose_answers")),
        }

    def waiting(self) -> set[str]:
        """See `Place.waiting`."""
        return {name.removesuffix(".json") for name in self._spool.pending()}

    def reports(self) -> list[AttemptReport]:
        """See `Place.reports`."""
        reports = list[AttemptReport]()
        for name in self._spool.pending():
            with suppress(OSError, ValueError, AIOPError):
                reports.append(report_from_json(read_object(self._files, name)))
        return reports

    def _cause(self, kind: str) -> bool:
        """Cause a fault until it ends. It counts if a request met it."""
        seconds, before = self._rng.uniform(0.1, _SERVER_S), self._server.faulty_requests()
        self._server.cause(kind, seconds)
        time.sleep(seconds)
        return self._server.faulty_requests() > before


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of that size. Raises CalledProcessError without the right to."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
