"""The keys of a table in 16 bytes each, so that a million of them need 16 MB."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Digests have one length, so it does not matter that numpy ignores zeros at the end of such values.
_DIGEST = np.dtype("S16")
_HEX_DIGITS = 32  # of a label's key
_AT_ONCE = 1 << 16  # keys of a column that are converted to Python objects at a time


class KeyDigests:
    """A set of keys, each known by 128 bits.

    A label's key is itself 128 bits of a SHA-256 in hexadecimal, which are kept exactly. Of other keys a hash is kept.
    Two among a billion of them have the same one with a probability of 1e-21, so no lookup in the table follows.
    """

    def __init__(self) -> None:
        self._sorted: NDArray[np.bytes_] = np.empty(0, _DIGEST)

    def __len__(self) -> int:
        return len(self._sorted)

    def contains(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each key whether it is in the set."""
        return self._found(_digests(keys))

    def add(self, keys: Sequence[str]) -> None:
        """Add keys; those in the set already change nothing."""
        self._merge(_digests(keys))

    def add_column(self, column: pa.ChunkedArray[Any]) -> None:
        """Add the strings of a column."""
        parts = [_digests(keys) for keys in _slices(column)]
        if parts:
            self._merge(np.concatenate(parts))

    def _merge(self, digests: NDArray[np.bytes_]) -> None:
        digests = _distinct(digests)
        new = digests[~self._found(digests)]
        if len(new):
            self._sorted = np.insert(self._sorted, np.searchsorted(self._sorted, new), new)

    def _found(self, digests: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        if not len(self._sorted):
            return np.zeros(len(digests), np.bool_)
        places = np.minimum(np.searchsorted(self._sorted, digests), len(self._sorted) - 1)
        return np.asarray(self._sorted[places] == digests)


def _slices(column: pa.ChunkedArray[Any]) -> Iterator[list[str]]:
    for start in range(0, len(column), _AT_ONCE):
        yield [str(value) for value in column.slice(start, _AT_ONCE).to_pylist()]


def _distinct(digests: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """The distinct digests, sorted."""
    halves = digests.view(">u8")[::2].astype(np.uint64)  # sorting numbers is several times faster
    order = np.argsort(halves)
    halves = halves[order]
    return np.unique(digests) if (halves[1:] == halves[:-1]).any() else digests[order]


def _digests(keys: Sequence[str]) -> NDArray[np.bytes_]:
    text = "".join(keys)
    if all(len(key) == _HEX_DIGITS for key in keys) and _is_hexadecimal(text):
        return np.frombuffer(bytes.fromhex(text), _DIGEST)
    return np.frombuffer(b"".join(map(_digest, keys)), _DIGEST)


def _digest(key: str) -> bytes:
    if len(key) == _HEX_DIGITS and _is_hexadecimal(key):
        return bytes.fromhex(key)
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST.itemsize).digest()


def _is_hexadecimal(text: str) -> bool:
    """Whether a text is what `bytes.hex` returns, which neither capitals nor spaces are."""
    try:
        return bytes.fromhex(text).hex() == text
    except ValueError:
        return False
