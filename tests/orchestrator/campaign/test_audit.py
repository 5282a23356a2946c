"""Cheap labels against full ones: correlation, cost ratio and their intervals."""

import random

import pytest
from scipy.stats import spearmanr

from orchestrator.campaign.audit import AuditPair, audit, rank_correlations
from orchestrator.campaign.summary import audit_summary


def pairs(count: int, noise: float, seed: int = 0) -> list[AuditPair]:
    rng = random.Random(seed)
    truths = [rng.random() for _ in range(count)]
    return [AuditPair(value + noise * rng.gauss(0, 1), value, 2 + rng.random(), 30.0) for value in truths]


def test_equal_rankings_correlate_fully() -> None:
    result = audit([AuditPair(0.1 * i, 0.5 + 0.01 * i**2, 2.0, 30.0) for i in range(8)])
    assert result is not None
    assert (result.architectures, result.correlation, result.cost_ratio) == (8, pytest.approx(1), pytest.approx(15))
    assert result.cost_ratio_low == result.cost_ratio_high == pytest.approx(15)


def test_the_interval_has_its_nominal_coverage() -> None:
    large = audit(pairs(2000, 0.3))
    assert large is not None
    assert large.correlation is not None
    covered = 0
    for seed in range(14):
        small = audit(pairs(24, 0.3, seed + 1))
        assert small is not None
        assert small.correlation_low is not None
        assert small.correlation_high is not None
        covered += small.correlation_low <= large.correlation <= small.correlation_high
    assert 11 <= covered <= 14  # 12.6 expected


def test_the_correlation_is_spearmans_with_ties() -> None:
    tied = [AuditPair(round(p.cheap, 1), round(p.full, 1), 1.0, 9.0) for p in pairs(30, 0.3)]
    result = audit(tied)
    assert result is not None
    wanted = spearmanr([p.cheap for p in tied], [p.full for p in tied]).statistic
    assert result.correlation == pytest.approx(float(wanted), abs=1e-12)


def test_more_architectures_give_a_narrower_interval_and_seeds_are_reproducible() -> None:
    few, many = audit(pairs(12, 0.3)), audit(pairs(200, 0.3))
    assert few is not None
    assert many is not None
    assert few.correlation_high is not None
    assert few.correlation_low is not None
    assert many.correlation_high is not None
    assert many.correlation_low is not None
    assert many.correlation_high - many.correlation_low < few.correlation_high - few.correlation_low
    assert audit(pairs(12, 0.3)) == few


def test_equal_or_too_few_values_have_no_correlation() -> None:
    assert audit([]) is None
    for same in ([AuditPair(0.1, 0.2, 1.0, 9.0)] * 2, [AuditPair(0.5, 0.1 * i, 1.0, 9.0) for i in range(6)]):
        result = audit(same)
        assert result is not None
        assert (result.correlation, result.correlation_low, result.cost_ratio) == (None, None, pytest.approx(9))


def test_each_column_has_its_own_correlation() -> None:
    truth = [0.1, 0.4, 0.2, 0.8]
    result = rank_correlations({"same": truth, "reversed": [-v for v in truth], "flat": [1.0] * 4}, truth)
    assert result == {"same": pytest.approx(1), "reversed": pytest.approx(-1), "flat": None}


def test_an_audit_includes_scores_flops_and_parameters() -> None:
    def row(fidelity: str, i: int, value: float, **metrics: float) -> dict[str, object]:
        own = {"architecture": f"a{i}", "seed": 0, "fidelity": fidelity, "value": value, "flops": 10 - i, "params": i}
        return own | {"metrics": list(metrics.items()), "seconds": [("train", 2.0 if fidelity == "proxy" else 20.0)]}

    full = [row("full", i, 0.1 * i, miou=0.0) for i in range(4)]
    proxies = [row("proxy", i, 1.0 * i, naswot=1.0 * i, synflow=abs(i - 1.6)) for i in range(4)]
    result = audit_summary(proxies, full)
    assert result["correlation"] == pytest.approx(1)
    assert result["ranks"]["flops"] == pytest.approx(-1)
    assert result["ranks"]["naswot"] == result["ranks"]["params"] == pytest.approx(1)
    assert set(result["ranks"]) == {"flops", "params", "naswot", "synflow"}
    shared = [r | {"fidelity": "shared"} for r in full]
    assert set(audit_summary(shared, full)["ranks"]) == {"flops", "params"}
    assert audit_summary(proxies, []) == {}
