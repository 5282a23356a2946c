"""The gate promotes what is better or as good, and nothing that is worse on a task or on labels known before."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from orchestrator.predictors.refresh.gate import GateLimits, HeldOutSet, decide, spearman
from orchestrator.predictors.verdict import GateDecision, Verdict

RNG = np.random.default_rng(0)
VALUES = RNG.uniform(0.3, 0.7, 80)
NAMES = np.array([f"a-{number}" for number in range(80)])


def noisy(noise: float, seed: int, values: np.ndarray = VALUES) -> np.ndarray:
    """Return predictions with errors of this standard deviation."""
    return values + noise * np.random.default_rng(seed).normal(size=len(values))


def held_out(
    task: str, champion: np.ndarray | None, candidate: np.ndarray, values: np.ndarray | None = None
) -> HeldOutSet:
    values = VALUES if values is None else values
    count = len(values)
    return HeldOutSet(f"s/{task}/d", task, NAMES[:count], values, champion, candidate, np.arange(count) < count // 2)


SAME = noisy(0.05, 1)


@pytest.mark.parametrize(
    ("champion", "candidate", "verdict", "reason"),
    [
        (noisy(0.3, 1), noisy(0.03, 2), Verdict.PROMOTE, "better"),
        (SAME, SAME, Verdict.PROMOTE, "as good within noise"),
        (SAME, noisy(0.01, 7, SAME), Verdict.PROMOTE, "as good within noise"),
        (noisy(0.03, 1), noisy(0.3, 2), Verdict.KEEP, "worse, and not by chance"),
        (SAME, -SAME, Verdict.KEEP, "worse, and not by chance"),
        (SAME, np.zeros(80), Verdict.KEEP, "worse, and not by chance"),
        (SAME, SAME + 0.5, Verdict.KEEP, "task seg errs by 0.18 -> .* deviations"),
    ],
)
def test_one_task(champion: np.ndarray, candidate: np.ndarray, verdict: Verdict, reason: str) -> None:
    decision = decide([held_out("seg", champion, candidate)])
    assert decision.verdict is verdict, decision
    assert decision.figures is not None
    assert decision.figures.tested == 80
    assert decision.figures.low <= decision.figures.pooled.gain <= decision.figures.high
    assert re.search(f"^pooled hold-out score .*{reason}", decision.reason)


def test_a_task_that_loses_prevents_the_promotion() -> None:
    gained = [held_out(f"t{number}", noisy(0.3, number), noisy(0.02, 9)) for number in range(6)]
    lost = held_out("pose", noisy(0.05, 1), noisy(0.12, 2))
    assert decide(gained).verdict is Verdict.PROMOTE
    decision = decide([*gained, lost])
    assert decision.verdict is Verdict.KEEP
    assert "but task pose 0.9" in decision.reason
    assert "more than 0.05" in decision.reason
    # A task with few labels counts only in the pooled score.
    few = held_out("pose", noisy(0.05, 1)[:8], noisy(0.12, 2)[:8], VALUES[:8])
    assert decide([*gained, few]).verdict is Verdict.PROMOTE


def test_new_labels_cannot_outvote_labels_known_before() -> None:
    """Half of the hold-out is new, and the new labels are flipped."""
    values = np.concatenate([VALUES[:40], 1 - VALUES[40:]])
    candidate = np.concatenate([noisy(0.15, 3)[:40], noisy(0.01, 4, 1 - VALUES)[40:]])
    labels = held_out("seg", noisy(0.02, 1), candidate, values)
    assert spearman(candidate, values) > spearman(labels.champion, values) + 0.3
    decision = decide([labels])
    assert decision.verdict is Verdict.KEEP
    assert "on labels known before" in decision.reason


def test_outliers_in_the_hold_out_do_not_change_the_verdict() -> None:
    values = VALUES.copy()
    values[::10] = 100.0
    assert decide([held_out("seg", noisy(0.3, 1), noisy(0.03, 2), values)]).verdict is Verdict.PROMOTE
    assert decide([held_out("seg", noisy(0.03, 1), noisy(0.3, 2), values)]).verdict is Verdict.KEEP


def test_a_new_task_is_not_compared_and_nothing_to_compare_is_promoted() -> None:
    new = held_out("depth", None, -VALUES)
    decision = decide([held_out("seg", SAME, SAME), new])
    assert decision.verdict is Verdict.PROMOTE
    assert decision.figures is not None
    assert [task.task for task in decision.figures.tasks] == ["seg"]
    for incomparable in ([], [new], [held_out("seg", SAME[:4], -SAME[:4], VALUES[:4])]):
        decision = decide(incomparable)
        assert decision == GateDecision(Verdict.PROMOTE, "no known set has enough hold-out labels to compare")


def test_the_limits_can_be_set() -> None:
    labels = held_out("seg", noisy(0.05, 1), noisy(0.12, 2))
    assert decide([labels]).verdict is Verdict.KEEP
    lenient = GateLimits(max_pooled_drop=1.0, max_task_drop=1.0, max_error_growth=10.0)
    assert decide([labels], lenient).verdict is Verdict.KEEP  # significantly worse is refused with any limits
    assert decide([held_out("seg", SAME, SAME + 0.5)], lenient).verdict is Verdict.PROMOTE


def test_rank_correlations_are_scipys() -> None:
    first, second = np.round(VALUES, 1), noisy(0.1, 5)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second)[0])
    assert spearman(first, np.ones(80)) == 0.0
