"""What a search has chosen so far, in the store, so that a killed search continues undisturbed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow.fs as pa_fs

from orchestrator.errors import StoreError
from predictor.atomic_write import replace_file
from predictor.text_files import parse_json
from workers.storage.spool import in_object_store

_VERSION = 1
_RESULT = "-result.json"


@dataclass(frozen=True, slots=True)
class Chosen:
    """An architecture of a round. reason: why it was chosen, with its score. mean, deviation: its prediction."""

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
            found = parse_json(text)
            if found["version"] != _VERSION:
                raise ValueError(f"version {found['version']}")
            if not isinstance(found["question"], dict):
                raise ValueError("its question is no object")
            rounds = tuple(tuple(Chosen(**chosen) for chosen in one) for one in found["rounds"])
            known, verified = tuple(map(str, found["known"])), tuple(map(str, found["verified"]))
            return cls(found["question"], known, int(found["batch"]), rounds, float(found["seconds"]), verified)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
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

    def save_result(self, identifier: str, document: Mapping[str, Any]) -> None:
        """Write what a search printed, in place of its earlier result. Raises StoreError if that is not possible."""
        ...

    def results(self) -> list[dict[str, Any]]:
        """Return the results of all searches, by their ids. Raises StoreError for one that cannot be read."""
        ...


def open_records(location: str) -> SearchRecords:
    """Open the records in a folder, which is created when needed, or in an object store."""
    return _ObjectRecords(location) if in_object_store(location) else _FolderRecords(Path(location))


@dataclass(frozen=True, slots=True)
class MemoryRecords:
    """Records that end with the process."""

    records: dict[str, SearchRecord] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self, identifier: str) -> SearchRecord | None:
        """See `SearchRecords`."""
        return self.records.get(identifier)

    def save(self, record: SearchRecord) -> None:
        """See `SearchRecords`."""
        self.records[record.id] = record

    def save_result(self, identifier: str, document: Mapping[str, Any]) -> None:
        """See `SearchRecords`."""
        self.documents[identifier] = dict(document)

    def results(self) -> list[dict[str, Any]]:
        """See `SearchRecords`."""
        return [self.documents[name] for name in sorted(self.documents)]


class _StoredRecords:
    """Records as JSON files. Subclasses read, write and list them."""

    where: str

    def load(self, identifier: str) -> SearchRecord | None:
        name = f"{identifier}.json"
        try:
            return SearchRecord.from_json(self._read(name).decode(), f"{self.where}/{name}")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"search {self.where}/{name}: cannot be read ({error}): make it readable") from None

    def save(self, record: SearchRecord) -> None:
        self._save(f"{record.id}.json", record.to_json())

    def save_result(self, identifier: str, document: Mapping[str, Any]) -> None:
        self._save(f"{identifier}{_RESULT}", json.dumps(document) + "\n")

    def results(self) -> list[dict[str, Any]]:
        found = []
        for name in sorted(name for name in self._names() if name.endswith(_RESULT)):
            try:
                document = parse_json(self._read(name))
                if not isinstance(document, dict):
                    raise ValueError("is no object")
            except (OSError, ValueError) as error:
                raise StoreError(f"search {self.where}/{name}: cannot be read ({error}): remove this file") from None
            found.append(document)
        return found

    def _save(self, name: str, text: str) -> None:
        try:
            self._write(name, text)
        except OSError as error:
            raise StoreError(
                f"search {self.where}/{name}: cannot be written ({error.strerror or error}): check space and rights"
            ) from None

    def _read(self, name: str) -> bytes:
        raise NotImplementedError

    def _write(self, name: str, text: str) -> None:
        raise NotImplementedError

    def _names(self) -> list[str]:
        raise NotImplementedError


class _FolderRecords(_StoredRecords):
    def __init__(self, folder: Path) -> None:
        self._folder, self.where = folder, str(folder)

    def _read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def _write(self, name: str, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_file(self._folder / name, text)

    def _names(self) -> list[str]:
        return [path.name for path in self._folder.glob("[!.]*.json")]


class _ObjectRecords(_StoredRecords):
    def __init__(self, uri: str) -> None:
        from workers.storage.objects import open_objects

        self.where, self._files = uri, open_objects(uri)

    def _read(self, name: str) -> bytes:
        from workers.storage.objects import read_object

        return read_object(self._files, name)

    def _write(self, name: str, text: str) -> None:
        from workers.storage.objects import write_object

        write_object(self._files, name, text.encode())

    def _names(self) -> list[str]:
        found = self._files.get_file_info(pa_fs.FileSelector("", allow_not_found=True))
        return [info.base_name for info in found if info.is_file]
