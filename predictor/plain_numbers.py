"""Parse numbers that users write. Python's own int() and float() also accept 6_63, superscripts and other digits."""

from __future__ import annotations

import math
import re

LARGEST_INTEGER = 2**63 - 1  # of the store's columns and of tensor sizes
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def plain_int(text: str, least: int = -LARGEST_INTEGER, most: int = LARGEST_INTEGER) -> int:
    """Return an integer in decimal digits. Raises ValueError with the reason, which begins with the text."""
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"{text} is not a whole number")
    if len(text) > 20 or not least <= int(text) <= most:  # Python refuses to convert thousands of digits
        raise ValueError(f"{text} is not from {least} to {most}")
    return int(text)


def plain_float(text: str) -> float:
    """Return a finite number written in digits with a decimal point. Raises ValueError with the reason."""
    if _NOT_FINITE.fullmatch(text) is not None:
        raise ValueError(f"{text} is not finite")
    if _NUMBER.fullmatch(text) is None:
        remedy = ": write a fraction without %" if text.endswith("%") else ""
        remedy = ": write a decimal point" if "," in text else remedy
        raise ValueError(f"{text} is not a number{remedy}")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value
