"""Cheap labels against full ones: correlation, cost ratio, their intervals."""

import random

import pytest
from scipy.stats import spearmanr

from orchestrator.campaign.audit import AuditPair, audit, rank_correlations
from orchestrator.campaign.summary import audited


def pairs(count: int, noise: float, seed: int = 0) -> list[AuditPair]:
    rng = random.Random(seed)
    truths = [rng.random() for _ in range(count)]
    return [AuditPair(value + noise * rng.gauss(0, 1), value, 2 + rng.random(), 30.0) for value in truths]


def test_equal_rankings_correlate_fully() -> None:
    found = audit([AuditPair(0.1 * i, 0.5 + 0.01 * i**2, 2.0, 30.0) for i in range(8)])
    assert found is not None
    assert (found.architectures, found.correlation, found.cost_ratio) == (8, pytest.approx(1), pytest.approx(15))
    assert found.cost_ratio_low == found.cost_ratio_high == pytest.approx(15)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    large = audit(pairs(2000, 0.3))
    assert large is not None
    assert large.correlation is not None
    reserved = 0
    for seed in range(14):
        small = audit(pairs(24, 0.3, seed + 1))
        assert small is not None
        assert small.correlation_low is not None
        assert small.correlation_high is not None
        reserved += small.correlation_low <= large.correlation <= small.correlation_high
    assert 11 <= reserved <= 14  # 12.6 expected


def test_the_correlation_is_spearmans_with_ties() -> None:
    tied = [AuditPair(round(p.cheap, 1), round(p.full, 1), 1.0, 9.0) for p in pairs(30, 0.3)]
    found = audit(tied)
    assert found is not None
    wanted = spearmanr([p.cheap for p in tied], [p.full for p in tied]).statistic
    assert found.correlation == pytest.approx(float(wanted), abs=1e-12)


def test_more_architectures_narrow_it_and_the_same_seed_repeats_it() -> None:
    few, many = audit(pairs(12, 0.3)), audit(pairs(200, 0.3))
    assert few is not None
    assert many is not None
    assert few.correlation_high is not None
    assert few.correlation_low is not None
    assert many.correlation_high is not None
    assert many.correlation_low is not None
    assert many.correlation_high - many.correlation_low < few.correlation_high - few.correlation_low
    assert audit(pairs(12, 0.3)) == few


def test_what_cannot_be_ranked_has_no_correlation() -> None:
    assert audit([]) is None
    for same in ([AuditPair(0.1, 0.2, 1.0, 9.0)] * 2, [AuditPair(0.5, 0.1 * i, 1.0, 9.0) for i in range(6)]):
        found = audit(same)
        assert found is not None
        assert (found.correlation, found.correlation_low, found.cost_ratio) == (None, None, pytest.approx(9))


def test_each_column_has_its_own_correlation() -> None:
    truth = [0.1, 0.4, 0.2, 0.8]
    found = rank_correlations({"same": truth, "reversed": [-v for v in truth], "flat": [1.0] * 4}, truth)
    assert found == {"same": pytest.approx(1), "reversed": pytest.approx(-1), "flat": None}


def test_a_cheap_label_is_shown_beside_what_costs_nothing() -> None:
    def row(fidelity: str, i: int, value: float, **metrics: float) -> dict[str, object]:
        own = {"architecture": f"a{i}", "seed": 0, "fidelity": fidelity, "value": value, "flops": 10 - i, "params": i}
        return own | {"metrics": list(metrics.items()), "seconds": [("train", 2.0 if fidelity == "proxy" else 20.0)]}

    full = [row("full", i, 0.1 * i, miou=0.0) for i in range(4)]
    proxies = [row("proxy", i, 1.0 * i, naswot=1.0 * i, synflow=abs(i - 1.6)) for i in range(4)]
    found = audited(proxies, full)
    assert found["correlation"] == pytest.approx(1)
    assert found["ranks"]["flops"] == pytest.approx(-1)
    assert found["ranks"]["naswot"] == found["ranks"]["params"] == pytest.approx(1)
    assert set(found["ranks"]) == {"flops", "params", "naswot", "synflow"}
    shared = [r | {"fidelity": "shared"} for r in full]
    assert set(audited(shared, full)["ranks"]) == {"flops", "params"}
    assert audited(proxies, []) == {}
