"""Lists of records in a JSON file, read column by column: a mistake is one line that names file, record and remedy.

A whole column is tested before any record is looked at alone, so that the files of COCO 2017 take seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import DataError

Record = dict[str, Any]


def read_json(path: Path) -> tuple[Record, bytes]:
    """The object in a JSON file, and the hash of its bytes."""
    remedy = "replace it by a COCO annotation file"
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except OSError as error:
        raise DataError(f"{path} cannot be read: give a COCO annotation file") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} is not readable JSON: {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is JSON, but no object with images, annotations and categories: {remedy}")
    return content, hashlib.sha256(raw).digest()


def is_integer(value: object) -> bool:
    """A whole number of 64 bits; True and 1.0 are none."""
    return type(value) is int and -(2**63) < value < 2**63


def is_flag(value: object) -> bool:
    """0 or 1, but neither True nor 1.0."""
    return type(value) is int and value in (0, 1)


def is_text(value: object) -> bool:
    """Text that can be a file name and be printed in one line."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 or c in "\x7f\x85\u2028\u2029" for c in value)
    )


def to_floats(values: Sequence[object]) -> NDArray[np.float64] | None:
    """Finite numbers as an array; None if there is anything else among them."""
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number beyond the range of floats
        return None
    return array if bool(np.isfinite(array).all()) else None


class Table:
    """Records of one kind. `owners`: where an id says nothing without what it belongs to, such as 'image 9'."""

    def __init__(self, path: Path, kind: str, records: Sequence[Record], owners: Sequence[str] = ()) -> None:
        self.path, self.kind, self.records, self._owners = path, kind, records, owners

    @classmethod
    def of(cls, path: Path, content: Record, key: str, kind: str) -> Table:
        """The list of objects under `key`."""
        records = content.get(key)
        if not isinstance(records, list):
            raise DataError(f"{path} has no list '{key}': replace it by a COCO annotation file")
        table = cls(path, kind, records)
        for i, record in enumerate(records):
            if type(record) is not dict:
                raise DataError(f"{path}: {key}[{i}] is no object: write {kind}s as JSON objects or remove it")
        return table

    def select(self, rows: NDArray[np.int64]) -> Table:
        """These records only."""
        owners = [self._owners[i] for i in rows] if self._owners else ()
        return Table(self.path, self.kind, [self.records[i] for i in rows], owners)

    def name(self, row: int) -> str:
        """Such as 'annotation 17'; by position for a record without a valid id."""
        record = self.records[row]
        owner = f" of {self._owners[row]}" if self._owners else ""
        for key, what in (("id", self.kind), ("image_id", f"{self.kind} of image")):
            if is_integer(record.get(key)):
                return f"{what} {record[key]}{owner}"
        return f"{self.kind} [{row}]{owner}"

    def error(self, row: int, fault: str, remedy: str) -> DataError:
        """The error of one record."""
        return DataError(f"{self.path}: {self.name(row)} {fault}: {remedy}")

    def column(self, key: str, valid: Callable[[Any], bool], remedy: str, default: object = None) -> list[Any]:
        """Values of `key`, each tested. null counts as absent; absent ones are `default`, an error if that is None."""
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
        """Whole numbers."""
        return self.column(key, is_integer, f"write '{key}' as a whole number")

    def flags(self, key: str, default: int | None = 0) -> NDArray[np.bool_]:
        """0 or 1."""
        return np.array(self.column(key, is_flag, f"write '{key}' as 0 or 1", default), dtype=np.bool_)

    def texts(self, key: str) -> list[str]:
        """Text that is not empty."""
        return self.column(key, is_text, f"write '{key}' as text without line breaks")

    def distinct(self, key: str) -> list[int]:
        """Whole numbers that occur once each."""
        values = self.integers(key)
        if len(set(values)) < len(values):
            seen: set[int] = set()
            for row, value in enumerate(values):
                if value in seen:
                    raise self.error(row, f"occurs twice (same '{key}')", f"give every {self.kind} its own '{key}'")
                seen.add(value)
        return values

    def places(self, key: str, known: dict[int, int], what: str) -> NDArray[np.int64]:
        """What `known` says to these ids."""
        values = self.integers(key)
        for row, value in enumerate(values):
            if value not in known:
                raise self.error(row, f"has {key} {value}, which no {what} has", f"add the {what} or remove it")
        return np.array([known[value] for value in values], dtype=np.int64)

    def areas(self) -> NDArray[np.float64]:
        """Numbers of pixels, NaN where not given."""
        given = [row for row, record in enumerate(self.records) if record.get("area") is not None]
        out = np.full(len(self.records), np.nan)
        numbers = to_floats([self.records[row]["area"] for row in given])
        if numbers is None or bool((numbers < 0).any()):
            for row in given:
                one = to_floats([self.records[row]["area"]])
                if one is None or one[0] < 0:
                    raise self.error(row, "has an invalid 'area'", "write a finite number of pixels or leave it out")
        elif given:
            out[given] = numbers
        return out

    def vectors(self, key: str, width: int, remedy: str, default: list[float] | None = None) -> NDArray[np.float64]:
        """(records, width): lists of that many finite numbers."""
        lists = self.column(key, lambda v: type(v) is list and len(v) == width, remedy, default)
        numbers = to_floats(list(chain.from_iterable(lists)))
        if numbers is None:
            row = next(i for i, values in enumerate(lists) if to_floats(values) is None)
            raise self.error(row, f"has an invalid '{key}'", remedy)
        return numbers.reshape(len(lists), width)
