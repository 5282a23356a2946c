"""Read lists of records from a JSON file, column by column. Each mistake is an error with file, record and remedy.

Numbers are validated as whole columns; single records are examined only to report a mistake. So the files of COCO 2017
take seconds.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.errors import DataError

Record = dict[str, Any]
_MAX_AREA = 1e10  # COCO's evaluation ignores larger objects


def read_json(path: Path) -> tuple[Record, bytes]:
    """Return the object in a JSON file, and the hash of its bytes."""
    remedy = "replace it with a COCO annotation file"
    try:
        raw = path.read_bytes()
        with _without_garbage_collection():
            content = _parse(raw)
    except OSError as error:
        raise DataError(f"{path} cannot be read: give a COCO annotation file") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} is not readable JSON: {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is JSON, but not an object with images, annotations and categories: {remedy}")
    return content, hashlib.sha256(raw).digest()


def _parse(raw: bytes) -> Any:
    """Parse JSON, at most as strictly as the standard library, which also explains what is wrong."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.loads(raw)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """The collector would look through millions of new objects again and again, and find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def is_integer(value: object) -> bool:
    """Return whether this is an integer of 64 bits. True and 1.0 are not."""
    return type(value) is int and -(2**63) < value < 2**63


def is_flag(value: object) -> bool:
    """Return whether this is the integer 0 or 1. True and 1.0 are not."""
    return type(value) is int and value in (0, 1)


def is_text(value: object) -> bool:
    """Return whether this is text that can be a file name and be printed on one line."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 or c in "\x7f\x85\u2028\u2029" for c in value)
    )


def to_floats(values: Sequence[object]) -> NDArray[np.float64] | None:
    """Convert finite numbers to an array; return None if any value is something else."""
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number beyond the range of floats
        return None
    return array if bool(np.isfinite(array).all()) else None


class Table:
    """Records of one kind, such as annotations."""

    def __init__(self, path: Path, kind: str, records: Sequence[Record], owners: Sequence[str] = ()) -> None:
        """Create the table. owners: what each record belongs to, such as 'image 9', if ids are unique only there."""
        self.path, self.kind, self.records, self._owners = path, kind, records, owners

    @classmethod
    def from_content(cls, path: Path, content: Record, key: str, kind: str) -> Table:
        """Read the list of objects under `key`."""
        records = content.get(key)
        if not isinstance(records, list):
            raise DataError(f"{path} has no list '{key}': replace it with a COCO annotation file")
        table = cls(path, kind, records)
        for i, record in enumerate(records):
            if type(record) is not dict:
                raise DataError(f"{path}: {key}[{i}] is not an object: write {kind}s as JSON objects or remove it")
        return table

    def select(self, rows: NDArray[np.int64]) -> Table:
        """Return a table of these records."""
        owners = [self._owners[i] for i in rows] if self._owners else ()
        return Table(self.path, self.kind, [self.records[i] for i in rows], owners)

    def describe(self, row: int) -> str:
        """Return a name such as 'annotation 17', or 'annotation [row]' for a record without a valid id."""
        record = self.records[row]
        owner = f" of {self._owners[row]}" if self._owners else ""
        for key, label in (("id", self.kind), ("image_id", f"{self.kind} of image")):
            if is_integer(record.get(key)):
                return f"{label} {record[key]}{owner}"
        return f"{self.kind} [{row}]{owner}"

    def error(self, row: int, fault: str, remedy: str) -> DataError:
        """Build the error for one record."""
        return DataError(f"{self.path}: {self.describe(row)} {fault}: {remedy}")

    def column(self, key: str, valid: Callable[[Any], bool], remedy: str, default: object = None) -> list[Any]:
        """Return the validated values of `key`. Missing or null values are `default`, or an error if that is None."""
        values = []
        for row, record in enumerate(self.records):
            value = record.get(key)
            if value is None:
                value = default
            if not valid(value):
                fault = f"has no '{key}'" if record.get(key) is None else f"has an invalid '{key}'"
                raise self.error(row, fault, remedy)
            values.append(value)
        return values

    def integers(self, key: str) -> list[int]:
        """Return integers."""
        return self.column(key, is_integer, f"write '{key}' as a whole number")

    def flags(self, key: str, default: int | None = 0) -> NDArray[np.bool_]:
        """Return the values 0 and 1 as bool."""
        return np.array(self.column(key, is_flag, f"write '{key}' as 0 or 1", default), dtype=np.bool_)

    def texts(self, key: str) -> list[str]:
        """Return texts, none of them empty."""
        return self.column(key, is_text, f"write '{key}' as text without line breaks")

    def unique_integers(self, key: str) -> list[int]:
        """Return integers, each of which may occur only once."""
        values = self.integers(key)
        if len(set(values)) < len(values):
            seen: set[int] = set()
            for row, value in enumerate(values):
                if value in seen:
                    raise self.error(row, f"occurs twice (same '{key}')", f"give every {self.kind} its own '{key}'")
                seen.add(value)
        return values

    def lookup(self, key: str, positions: dict[int, int], kind: str) -> NDArray[np.int64]:
        """Return the entries of `positions` for the ids in `key`, which refer to records of another kind."""
        values = self.integers(key)
        for row, value in enumerate(values):
            if value not in positions:
                raise self.error(row, f"has {key} {value}, which no {kind} has", f"add the {kind} or remove it")
        return np.array([positions[value] for value in values], dtype=np.int64)

    def areas(self) -> NDArray[np.float64]:
        """Return the areas in pixels, NaN if not given."""
        given = [row for row, record in enumerate(self.records) if record.get("area") is not None]
        areas = np.full(len(self.records), np.nan)
        numbers = to_floats([self.records[row]["area"] for row in given])
        if numbers is None or bool(((numbers < 0) | (numbers > _MAX_AREA)).any()):
            for row in given:
                area = to_floats([self.records[row]["area"]])
                if area is None or not 0 <= area[0] <= _MAX_AREA:
                    raise self.error(row, "has an invalid 'area'", "write a finite number of pixels or leave it out")
        elif given:
            areas[given] = numbers
        return areas

    def vectors(self, key: str, width: int, remedy: str, default: list[float] | None = None) -> NDArray[np.float64]:
        """Return (records, width) finite numbers; each value is a list of `width` of them."""
        lists = self.column(key, lambda v: type(v) is list and len(v) == width, remedy, default)
        numbers = to_floats(list(chain.from_iterable(lists)))
        if numbers is None:
            row = next(i for i, values in enumerate(lists) if to_floats(values) is None)
            raise self.error(row, f"has an invalid '{key}'", remedy)
        return numbers.reshape(len(lists), width)
