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
_RECENT = 1 << 16  # keys that are added before the large array is copied
_AT_ONCE = 1 << 16  # keys of a column that are converted to Python objects at a time


class KeyDigests:
    """A set of keys, each known by 128 bits.

    A label's key is itself 128 bits of a SHA-256 in hexadecimal, which are kept exactly. Of other keys a hash is kept.
    Two among a billion of them have the same one with a probability of 1e-21, so no lookup in the table follows.
    """

    def __init__(self) -> None:
        self._sorted: NDArray[np.bytes_] = np.empty(0, _DIGEST)
        self._recent: NDArray[np.bytes_] = np.empty(0, _DIGEST)  # sorted too, and none of them is in the other

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

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
        self._recent = _inserted(self._recent, digests[~self._found(digests)])
        if len(self._recent) > _RECENT:
            self._sorted, self._recent = _inserted(self._sorted, self._recent), self._recent[:0].copy()

    def _found(self, digests: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        return _are_in(digests, self._sorted) | _are_in(digests, self._recent)


def _are_in(digests: NDArray[np.bytes_], among: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    if not len(among):
        return np.zeros(len(digests), np.bool_)
    places = np.minimum(np.searchsorted(among, digests), len(among) - 1)
    return np.asarray(among[places] == digests)


def _inserted(among: NDArray[np.bytes_], new: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    return np.insert(among, np.searchsorted(among, new), new)


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
