"""The gate lets through what is better or as good, and nothing that harms any task or the labels known before."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from orchestrator.predictors.refresh.gate import GateLimits, HeldOut, KeepChampion, Promote, decide, spearman

DRAW = np.random.default_rng(0)
VALUES = DRAW.uniform(0.3, 0.7, 80)
NAMES = np.array([f"a-{number}" for number in range(80)])


def told(noise: float, seed: int, values: np.ndarray = VALUES) -> np.ndarray:
    """Predictions that miss by so much."""
    return values + noise * np.random.default_rng(seed).normal(size=len(values))


def held_out(
    task: str, champion: np.ndarray | None, candidate: np.ndarray, values: np.ndarray | None = None
) -> HeldOut:
    values = VALUES if values is None else values
    count = len(values)
    return HeldOut(f"s/{task}/d", task, NAMES[:count], values, champion, candidate, np.arange(count) < count // 2)


SAME = told(0.05, 1)


@pytest.mark.parametrize(
    ("champion", "candidate", "kind", "says"),
    [
        (told(0.3, 1), told(0.03, 2), Promote, "better"),
        (SAME, SAME, Promote, "as good within noise"),
        (SAME, told(0.01, 7, SAME), Promote, "as good within noise"),
        (told(0.03, 1), told(0.3, 2), KeepChampion, "worse, and not by chance"),
        (SAME, -SAME, KeepChampion, "worse, and not by chance"),
        (SAME, np.zeros(80), KeepChampion, "worse, and not by chance"),
        (SAME, SAME + 0.5, KeepChampion, "task seg errs by 0.18 -> .* deviations"),
    ],
)
def test_one_task(champion: np.ndarray, candidate: np.ndarray, kind: type, says: str) -> None:
    decision = decide([held_out("seg", champion, candidate)])
    assert isinstance(decision, kind), decision
    assert decision.figures is not None
    assert decision.figures.tested == 80
    assert decision.figures.low <= decision.figures.pooled.gain <= decision.figures.high
    assert re.search(f"^pooled hold-out score .*{says}", decision.reason)


def test_a_task_that_loses_forbids_what_others_gain() -> None:
    gained = [held_out(f"t{number}", told(0.3, number), told(0.02, 9)) for number in range(6)]
    lost = held_out("pose", told(0.05, 1), told(0.12, 2))
    assert isinstance(decide(gained), Promote)
    decision = decide([*gained, lost])
    assert isinstance(decision, KeepChampion)
    assert "but task pose 0.9" in decision.reason
    assert "more than 0.05" in decision.reason
    # With few labels a task's score is chance, and it counts in the pool alone.
    few = held_out("pose", told(0.05, 1)[:8], told(0.12, 2)[:8], VALUES[:8])
    assert isinstance(decide([*gained, few]), Promote)


def test_new_labels_cannot_outvote_those_known_before() -> None:
    """Half of the hold-out came with the slice, and the slice is turned upside down."""
    values = np.concatenate([VALUES[:40], 1 - VALUES[40:]])
    candidate = np.concatenate([told(0.15, 3)[:40], told(0.01, 4, 1 - VALUES)[40:]])
    one = held_out("seg", told(0.02, 1), candidate, values)
    assert spearman(candidate, values) > spearman(one.champion, values) + 0.3
    decision = decide([one])
    assert isinstance(decision, KeepChampion)
    assert "on labels known before" in decision.reason


def test_wild_labels_in_the_hold_out_favour_nobody() -> None:
    wild = VALUES.copy()
    wild[::10] = 100.0
    assert isinstance(decide([held_out("seg", told(0.3, 1), told(0.03, 2), wild)]), Promote)
    assert isinstance(decide([held_out("seg", told(0.03, 1), told(0.3, 2), wild)]), KeepChampion)


def test_a_new_task_is_not_compared_and_without_labels_the_newest_is_taken() -> None:
    new = held_out("depth", None, -VALUES)
    decision = decide([held_out("seg", SAME, SAME), new])
    assert isinstance(decision, Promote)
    assert decision.figures is not None
    assert [one.task for one in decision.figures.tasks] == ["seg"]
    for nothing in ([], [new], [held_out("seg", SAME[:4], -SAME[:4], VALUES[:4])]):
        assert decide(nothing) == Promote("no known set has hold-out labels enough to compare on")


def test_the_margins_can_be_set() -> None:
    one = held_out("seg", told(0.05, 1), told(0.12, 2))
    assert isinstance(decide([one]), KeepChampion)
    lenient = GateLimits(pooled=1.0, task=1.0, error=10.0)
    assert isinstance(decide([one], lenient), KeepChampion)  # significantly worse is refused whatever the margin
    assert isinstance(decide([held_out("seg", SAME, SAME + 0.5)], lenient), Promote)


def test_rank_correlations_are_scipys() -> None:
    one, other = np.round(VALUES, 1), told(0.1, 5)
    assert spearman(one, other) == pytest.approx(spearmanr(one, other)[0])
    assert spearman(one, np.ones(80)) == 0.0
