"""Strategies that spoil valid input: documents by their structure, files by their bytes, and short texts."""

from __future__ import annotations

import copy
import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

_DEEP = "@DEEP@"  # replaced by lists inside lists, deeper than any parser goes
_DEPTH = 100_000
_LETTERS = ["", " ", "a" * 5000, "\0", "\n", "\x1b[2J", "ü", "\u202e", "\ud800", "\U0001f600", "..", "/", "%", "'"]
_NUMBERS = [0, -1, 1, 2, 255, 256, 2**31, 2**62, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308]
_NUMBERS += [math.nan, math.inf, -math.inf]
_OTHERS = [None, True, False, [], {}, [[]], {"": ""}, ["a"] * 300, [0] * 300, _DEEP]
_NUMERALS = ["0", "-1", "\u00b2", "\u0663", "1_0", "+7", "1e999", "9" * 20, "9" * 400, "9" * 5000, "0" * 5000 + "1"]
_WORDS = ["1e9", "nan", "-1", "NaN", "null", "0x10", "1_0", "²", "none", "hub", "/dev/null", "mmdet:x.py"]
_ODD = st.sampled_from([*_LETTERS, *_NUMBERS, *_OTHERS, *_WORDS])
_EDITS = ("drop", "repeat", "replace", "replace", "retype", "rename", "swap", "nest", "add")
_CHUNKS = [b"\0", b"\xff", b"\n", b'"', b"[" * _DEPTH, b"{}", b"\xef\xbb\xbf", b"\xff\xfe", b"\x89PNG", b"PK\x03\x04"]
_SIZES = [0, 1, 60_000, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**62, 2**64 - 1]


def documents(valid: Any, write: Callable[[Any], bytes]) -> st.SearchStrategy[bytes]:
    """Return files of a valid document, as `write` writes it, with one to four changes of its structure."""
    change = st.tuples(st.sampled_from(_EDITS), st.integers(0, 2**20), st.integers(0, 2**20), _ODD)
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: _spoilt_document(valid, changes, write))


def files(valid: bytes, reseal: Callable[[bytes], bytes] | None = None) -> st.SearchStrategy[bytes]:
    """Return a valid file with one to four changes of its bytes. reseal: makes checksums fit again."""
    kinds = st.sampled_from(("set", "flip", "cut", "insert", "drop", "zero", "repeat", "size"))
    change = st.tuples(kinds, st.integers(0, 2**30), st.integers(0, 2**16))
    spoilt = st.lists(change, min_size=1, max_size=4).map(lambda changes: _spoilt_bytes(valid, changes))
    return st.one_of(spoilt, spoilt.map(reseal)) if reseal else spoilt


def texts(valid: Sequence[str]) -> st.SearchStrategy[str]:
    """Return texts that users could write: valid ones, with changes, and any."""
    pieces = st.one_of(
        st.sampled_from([*_LETTERS, *_WORDS, *_NUMERALS]), st.sampled_from("0123456789.,:x=%+-eE[]{}() \t"), st.text()
    )
    kinds = st.sampled_from(("insert", "drop", "cut", "repeat", "join", "number", "number"))
    change = st.tuples(kinds, st.integers(0, 5000), pieces)
    spoilt = st.tuples(st.sampled_from(valid), st.lists(change, max_size=4)).map(lambda pair: _spoilt_text(*pair))
    return st.one_of(spoilt, spoilt, st.text(max_size=40))


def as_json(document: Any) -> bytes:
    """Return a document as JSON, with the numbers that JSON does not have and with half characters as Python does."""
    text = json.dumps(document, ensure_ascii=True)
    return text.replace(f'"{_DEEP}"', "[" * _DEPTH + "]" * _DEPTH).encode()


def as_yaml(document: Any) -> bytes:
    """Return a document as YAML."""
    text = yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
    return text.replace(f"'{_DEEP}'", "[" * 2000 + "]" * 2000).encode("utf-8", "surrogatepass")


def reseal_png(content: bytes) -> bytes:
    """Return a PNG whose checksums fit its chunks."""
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        parts += [content[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join([*parts, content[at:]])


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return (container, key or position) of every value, depth first."""
    found, waiting = list[tuple[Any, Any]](), [document]
    while waiting:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def _spoilt_document(valid: Any, changes: list[tuple[str, int, int, Any]], write: Callable[[Any], bytes]) -> bytes:
    root = [copy.deepcopy(valid)]
    for kind, first, second, odd in changes:
        odd, places = copy.deepcopy(odd), _places(root)
        if places:
            container, key = places[first % len(places)]
            other, other_key = places[second % len(places)]
            _change(kind, container, key, other[other_key], odd)
    document = root[0] if root else None
    try:
        return write(document)
    except (RecursionError, ValueError, TypeError, yaml.YAMLError):  # what the format cannot say
        return repr(document).encode("utf-8", "backslashreplace")


def _change(kind: str, container: Any, key: Any, other: Any, odd: Any) -> None:
    value = container[key]
    match kind:
        case "drop":
            del container[key]
        case "repeat" if isinstance(container, list):
            container.insert(key, copy.deepcopy(value))
        case "retype":
            container[key] = _of_same_type(value, odd)
        case "rename" if isinstance(container, dict):
            container[odd if isinstance(odd, str) else str(odd)] = container.pop(key)
        case "swap":
            container[key] = copy.deepcopy(other)
        case "nest":
            container[key] = [value]
        case "add" if isinstance(value, dict):
            value[odd if isinstance(odd, str) else "more"] = odd
        case "add" if isinstance(value, list):
            value.append(odd)
        case _:
            container[key] = odd


def _of_same_type(value: Any, odd: Any) -> Any:
    """Return a number in place of a number, and a text in place of a text."""
    if isinstance(value, str):
        return odd if isinstance(odd, str) else value + str(odd)[:40]
    if isinstance(value, int | float):
        return odd if isinstance(odd, int | float) else value * -1000
    return odd


def _spoilt_bytes(valid: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    content = bytearray(valid)
    for kind, where, what in changes:
        at = where % (len(content) + 1)
        match kind:
            case "set":
                content[at : at + 1] = bytes([what % 256])
            case "flip" if at < len(content):
                content[at] ^= 1 << what % 8
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = _CHUNKS[what % len(_CHUNKS)]
            case "drop":
                del content[at : at + what % 64]
            case "zero":
                content[at : at + what % 64] = bytes(len(content[at : at + what % 64]))
            case "repeat":
                content[at:at] = content[at : at + what % 256]
            case "size":
                width, order = ((4, "little"), (4, "big"), (8, "little"), (2, "big"))[what % 4]
                number = _SIZES[what // 4 % len(_SIZES)] % 2 ** (8 * width)
                content[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
    return bytes(content)


def _spoilt_text(valid: str, changes: list[tuple[str, int, str]]) -> str:
    text = valid
    for kind, where, piece in changes:
        at = where % (len(text) + 1)
        match kind:
            case "insert":
                text = text[:at] + piece + text[at:]
            case "drop":
                text = text[:at] + text[at + 1 + len(piece) % 5 :]
            case "cut":
                text = text[:at]
            case "repeat":
                text = text[:at] + text
            case "join":
                text += piece
            case "number" if numbers := list(re.finditer(r"\d+", text)):
                found = numbers[where % len(numbers)]
                text = text[: found.start()] + _NUMERALS[len(piece) % len(_NUMERALS)] + text[found.end() :]
    return text
