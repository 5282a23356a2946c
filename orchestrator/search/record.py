"""What a search has chosen so far, in the store: so that one that was killed goes on as if it had not been."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from orchestrator.errors import StoreError
from predictor.atomic_write import replace_file
from workers.storage.spool import in_object_store

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Chosen:
    """An architecture of a round. reason: why it was chosen, with its score. mean, deviation: as it was predicted."""

    genotype: str
    reason: str
    mean: float | None = None
    deviation: float | None = None


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """The choices of a search.

    question: what was asked, without budget and number of verified networks. known: ids of the architectures that were
    labelled before it began. batch: architectures of a round. rounds: what was chosen, in their order. seconds: spent
    so far. verified: genotypes that were chosen for verification; empty before that.
    """

    question: Mapping[str, Any]
    known: tuple[str, ...]
    batch: int
    rounds: tuple[tuple[Chosen, ...], ...] = ()
    seconds: float = 0.0
    verified: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """16 hexadecimal digits that identify the question."""
        return question_id(self.question)

    @property
    def chosen(self) -> int:
        """Number of architectures of all rounds."""
        return sum(map(len, self.rounds))

    def with_round(self, choices: Sequence[Chosen]) -> SearchRecord:
        """Return the record with another round. What was verified is forgotten: other networks may be better now."""
        return replace(self, rounds=(*self.rounds, tuple(choices)), verified=())

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"version": _VERSION} | asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> SearchRecord:
        """Inverse of `to_json`. Raises StoreError for anything else. where: names the record in messages."""
        try:
            found = json.loads(text)
            if found["version"] != _VERSION:
                raise ValueError(f"version {found['version']}")
            rounds = tuple(tuple(Chosen(**chosen) for chosen in one) for one in found["rounds"])
            known, verified = tuple(map(str, found["known"])), tuple(map(str, found["verified"]))
            return cls(found["question"], known, int(found["batch"]), rounds, float(found["seconds"]), verified)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"search {where}: cannot be read ({error}): remove this file to start the search again; its labels are "
                "in the store"
            ) from None


def question_id(question: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify a question."""
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]


class SearchRecords(Protocol):
    """Keeps the records of searches. A record is complete or absent."""

    def load(self, identifier: str) -> SearchRecord | None:
        """Return a record; None if there is none. Raises StoreError for one that cannot be read."""
        ...

    def save(self, record: SearchRecord) -> None:
        """Write a record, in place of the one with its id. Raises StoreError if that is not possible."""
        ...


def open_records(location: str) -> SearchRecords:
    """Open the records in a folder, which is created when needed, or in an object store."""
    return _ObjectRecords(location) if in_object_store(location) else _FolderRecords(Path(location))


@dataclass(frozen=True, slots=True)
class MemoryRecords:
    """Records that end with the process."""

    records: dict[str, SearchRecord] = field(default_factory=dict)

    def load(self, identifier: str) -> SearchRecord | None:
        """See `SearchRecords`."""
        return self.records.get(identifier)

    def save(self, record: SearchRecord) -> None:
        """See `SearchRecords`."""
        self.records[record.id] = record


class _FolderRecords:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, identifier: str) -> SearchRecord | None:
        path = self._folder / f"{identifier}.json"
        try:
            return SearchRecord.from_json(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"search {path}: cannot be read ({error}): make it readable, or remove it") from None

    def save(self, record: SearchRecord) -> None:
        path = self._folder / f"{record.id}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, record.to_json())
        except OSError as error:
            raise StoreError(f"search {path}: cannot be written ({error.strerror or error}): free the store") from None


class _ObjectRecords:
    def __init__(self, uri: str) -> None:
        from workers.storage.objects import open_objects

        self._uri, self._files = uri, open_objects(uri)

    def load(self, identifier: str) -> SearchRecord | None:
        from workers.storage.objects import read_object

        name = f"{identifier}.json"
        try:
            return SearchRecord.from_json(read_object(self._files, name).decode(), f"{self._uri}/{name}")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"search {self._uri}/{name}: cannot be read ({error}): check the object store") from None

    def save(self, record: SearchRecord) -> None:
        from workers.storage.objects import write_object

        name = f"{record.id}.json"
        try:
            write_object(self._files, name, record.to_json().encode())
        except OSError as error:
            raise StoreError(
                f"search {self._uri}/{name}: cannot be written ({error}): check the object store"
            ) from None
