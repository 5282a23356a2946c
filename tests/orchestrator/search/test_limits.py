"""Limits and budgets as users write them."""

from __future__ import annotations

import pytest

from orchestrator.errors import ConfigError
from orchestrator.search.limits import FLOPS, LATENCY, PARAMS, Budget, Limit, format_cost, parse_budget, parse_limit


@pytest.mark.parametrize(
    ("cost", "text", "amount", "relative"),
    [
        (FLOPS, "60%", 0.6, True),
        (FLOPS, "1.2G", 1.2e9, False),
        (FLOPS, "300 MFLOPs", 3e8, False),
        (FLOPS, "5e", None, None),
        (PARAMS, "5M", 5e6, False),
        (PARAMS, "900k", 9e5, False),
        (PARAMS, "1000", 1000.0, False),
        (LATENCY, "8ms", 8.0, False),
        (LATENCY, "0.5 s", 500.0, False),
        (LATENCY, "150us", 0.15, False),
        (LATENCY, "75 %", 0.75, True),
    ],
)
def test_a_limit_has_a_number_and_a_unit(cost: str, text: str, amount: float | None, relative: bool | None) -> None:
    if amount is None:
        with pytest.raises(ConfigError):
            parse_limit(cost, text)
        return
    assert parse_limit(cost, text) == Limit(cost, pytest.approx(amount), bool(relative))


@pytest.mark.parametrize(
    "text", ["", "fast", "-3M", "0", "0%", "nan", "inf", "1,5G", "1.2.3G", "5 apples", "G", "٣M", "1e400"]
)
@pytest.mark.parametrize("cost", [FLOPS, PARAMS, LATENCY])
def test_what_is_no_limit_is_refused_in_one_line(cost: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_limit(cost, text)
    assert f"--max-{cost} '{text}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_latency_needs_a_unit_and_a_cost_must_not_have_one_of_time() -> None:
    with pytest.raises(ConfigError, match="us, ms or s"):
        parse_limit(LATENCY, "8")
    with pytest.raises(ConfigError, match="unknown unit 'ms'"):
        parse_limit(FLOPS, "8ms")


def test_a_share_is_of_the_reference() -> None:
    assert parse_limit(FLOPS, "60%").absolute(2e9) == pytest.approx(1.2e9)
    assert parse_limit(FLOPS, "1G").absolute(2e9) == 1e9


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("2h", Budget(seconds=7200.0)),
        ("45m", Budget(seconds=2700.0)),
        ("1.5 min", Budget(seconds=90.0)),
        ("200 labels", Budget(labels=200)),
        ("1 label", Budget(labels=1)),
    ],
)
def test_a_budget_is_a_time_or_a_number_of_labels(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0h",
        "0 labels",
        "200",
        "2 weeks",
        "-1h",
        "1.5 labels",
        "",
        "h",
        "all",
        "1e3 labels",
        pytest.param("9" * 400 + " labels", id="huge"),
    ],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--budget"):
        parse_budget(text)


def test_costs_are_shown_with_a_unit() -> None:
    assert format_cost(FLOPS, 1.2e9) == "1.2G FLOPs"
    assert format_cost(PARAMS, 62_300) == "62.3K parameters"
    assert format_cost(LATENCY, 8.04) == "8.04 ms"
