"""A set of keys in 16 bytes each behaves like a set of strings."""

from __future__ import annotations

import hashlib
import random

import pyarrow as pa

from orchestrator.store import key_digests
from orchestrator.store.key_digests import KeyDigests


def _key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def test_agrees_with_a_set_of_strings(monkeypatch) -> None:
    monkeypatch.setattr(key_digests, "_RECENT", 100)
    rng, digests, keys = random.Random(0), KeyDigests(), set[str]()
    for _ in range(50):
        batch = [rng.choice((_key, "attempt-{}".format))(rng.randrange(400)) for _ in range(20)]
        assert digests.contains(batch).tolist() == [key in keys for key in batch]
        digests.add(batch)
        keys.update(batch)
        assert len(digests) == len(keys)


def test_keys_that_differ_only_in_capitals_or_zeros_are_different() -> None:
    digests = KeyDigests()
    digests.add(["ab" * 16, "00" * 16])
    assert digests.contains(["AB" * 16, "ab" * 16, "ab" * 15 + " a", "00" * 16, "0" * 31]).tolist() == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert not digests.contains(["00" * 15 + "01"]).any()


def test_reads_a_column_in_parts(monkeypatch) -> None:
    monkeypatch.setattr(key_digests, "_AT_ONCE", 7)
    digests, keys = KeyDigests(), [_key(number) for number in range(40)]
    digests.add_column(pa.chunked_array([keys[:3], keys[3:]]))
    digests.add_column(pa.chunked_array([], pa.string()))
    assert len(digests) == 40
    assert digests.contains(keys).all()


def test_a_key_needs_16_bytes() -> None:
    digests = KeyDigests()
    digests.add([_key(number) for number in range(1000)])
    assert digests._sorted.nbytes + digests._recent.nbytes == 16_000
