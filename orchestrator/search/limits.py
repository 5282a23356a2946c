"""Limits of a search, such as `60%`, `1.2G` or `8ms`, and its budget, such as `2h` or `200 labels`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import ConfigError

FLOPS, PARAMS, LATENCY = "flops", "params", "latency"
COST_NAMES = (FLOPS, PARAMS, LATENCY)
_NUMBER = r"(?P<number>\d+(?:\.\d+)?|\.\d+)"
_SCALES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_EXAMPLES = {FLOPS: "1.2G", PARAMS: "5M", LATENCY: "8ms"}


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a network may cost. amount: FLOPs of an image, parameters or milliseconds; a share if `relative`.

    relative: `amount` is a share of what the reference costs.
    """

    cost: str
    amount: float
    relative: bool

    def absolute(self, reference: float) -> float:
        """Return the limit in the cost's unit. reference: what the reference costs."""
        return self.amount * reference if self.relative else self.amount

    def __str__(self) -> str:
        return f"{self.amount:.4g} of the reference" if self.relative else format_cost(self.cost, self.amount)


def parse_limit(cost: str, text: str) -> Limit:
    """Return the limit of flops, params or latency that a text such as `60%`, `1.2G` or `8ms` names.

    Raises ConfigError for another form, and for a limit of zero.
    """
    option = f"--max-{cost} '{text}'"
    number, unit = _split(text)
    if number is None:
        raise ConfigError(f"{option}: write {_EXAMPLES[cost]}, or a share of the reference such as 60%")
    if not 0 < number < math.inf:
        raise ConfigError(f"{option}: no network costs that little: write a number above 0")
    if unit == "%":
        return Limit(cost, number / 100, relative=True)
    if cost == LATENCY:
        if unit not in _MILLISECONDS:
            raise ConfigError(
                f"{option}: write the unit us, ms or s, such as {_EXAMPLES[cost]}, or a share such as 60%"
            )
        return Limit(cost, number * _MILLISECONDS[unit], relative=False)
    scale = _SCALES.get(re.sub(r"(?i)(flops?|params?)$", "", unit).upper())
    if scale is None:
        raise ConfigError(f"{option}: unknown unit '{unit}': write K, M, G or T, such as {_EXAMPLES[cost]}, or 60%")
    return Limit(cost, number * scale, relative=False)


def parse_limits(given: Mapping[str, str]) -> tuple[Limit, ...]:
    """Return the limits of costs that were given; an empty text is none. Raises ConfigError."""
    return tuple(parse_limit(cost, given[cost]) for cost in COST_NAMES if given.get(cost))


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a search lasts: labelled architectures, or seconds of the whole search. One of them is set."""

    labels: int | None = None
    seconds: float | None = None


def parse_budget(text: str) -> Budget:
    """Return the budget that a text such as `2h`, `45m` or `200 labels` names. Raises ConfigError."""
    number, unit = _split(text)
    option = f"--budget '{text}'"
    known = unit in _SECONDS or unit in ("label", "labels")
    if number is None or not known or number == math.inf:
        raise ConfigError(f"{option}: write a time such as 2h or 45m, or a number of networks such as '200 labels'")
    if not number:
        raise ConfigError(f"{option}: nothing can be searched: write at least '1 label'")
    if unit in _SECONDS:
        return Budget(seconds=number * _SECONDS[unit])
    if number != int(number):
        raise ConfigError(f"{option}: write a whole number of labels")
    return Budget(labels=int(number))


def format_cost(cost: str, amount: float) -> str:
    """Return a cost for people: 1.2G FLOPs, 5M parameters, 8 ms."""
    if cost == LATENCY:
        return f"{amount:.3g} ms"
    for letter in ("T", "G", "M", "K"):
        if abs(amount) >= _SCALES[letter]:
            return f"{amount / _SCALES[letter]:.3g}{letter} {'FLOPs' if cost == FLOPS else 'parameters'}"
    return f"{amount:.3g} {'FLOPs' if cost == FLOPS else 'parameters'}"


def _split(text: str) -> tuple[float | None, str]:
    """Return the number and the unit of a text; None if it does not begin with a number."""
    matched = re.fullmatch(_NUMBER + r"\s*(?P<unit>[a-zA-Z%]*)", text.strip(), re.ASCII)
    return (float(matched["number"]), matched["unit"]) if matched else (None, "")
