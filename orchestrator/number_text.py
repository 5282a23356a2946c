"""Numbers as people read them: units, durations, few decimals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
_COUNTS = frozenset({"flops", "params"})
_SECONDS = frozenset({"seconds", "seconds_a_label"})


def si_number(value: float) -> str:
    """Three digits and a unit: 69.2 M, 4.09 G; whole numbers below 1,000 unchanged."""
    for size, unit in _SI:
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)} {unit}"
    return f"{value:g}" if value == int(value) else _three_digits(value)


def duration(seconds: float) -> str:
    """0.84 s, 12.3 s, 4 min 10 s, 2 h 05 min."""
    if seconds < 60:
        return f"{_three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def human(key: str, value: Any) -> str:
    """A value as people read it; `key` says what it counts."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if key in _COUNTS and abs(value) >= 1:  # a score of FLOPs or parameters is below 1
            return si_number(value)
        if key in _SECONDS:
            return duration(value)
        return f"{value:,}" if isinstance(value, int) else _decimal(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {human(name, inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(human(key, item) for item in value) or "-"
    return str(value)


def _three_digits(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def _decimal(value: float) -> str:
    """Three decimals, for scores between 0 and 1 and what is of their size; more digits where these would be zeros."""
    if value != value:  # NaN
        return "-"
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.3g}"
