"""What is selected next, on plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from orchestrator.search.acquisition import BEST, BOTH, DIVERSE, MODES, Situation, select
from orchestrator.search.improvement import expected_improvement

DRAW = np.random.default_rng(0)
POINTS = DRAW.normal(size=(80, 6))
NONE = POINTS[:0]


def situation(**fields: object) -> Situation:
    defaults: dict[str, object] = {"candidates": POINTS, "taken": NONE}
    return Situation(**(defaults | fields))  # type: ignore[arg-type]


def predicted(best: float = 0.5, **fields: object) -> Situation:
    """A situation in which candidate 7 is predicted to be by far the best."""
    mean = np.linspace(0.2, 0.4, len(POINTS))
    mean[7] = 0.9
    defaults: dict[str, object] = {"taken": POINTS[60:], "mean": mean, "deviation": np.full(80, 0.05), "best": best}
    return situation(**(defaults | fields))


def rows(case: Situation, mode: str, count: int) -> list[int]:
    return [pick.row for pick in select(case, mode, count)]


def test_diverse_covers_every_cluster() -> None:
    centres = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    points = np.repeat(centres, 20, axis=0) + DRAW.normal(scale=0.1, size=(80, 2))
    assert {row // 20 for row in rows(situation(candidates=points, taken=points[:0]), DIVERSE, 4)} == {0, 1, 2, 3}


def test_diverse_keeps_away_from_labelled_networks() -> None:
    line = np.arange(11.0)[:, None]
    (pick,) = select(situation(candidates=line, taken=line[:1]), DIVERSE, 1)
    assert pick.row == 10
    assert pick.reason.startswith("diverse: 3 from the nearest")
    assert pick.score == pytest.approx(10 / line.std(), rel=0.05)


def test_the_first_is_the_most_central() -> None:
    assert rows(situation(candidates=np.arange(11.0)[:, None], taken=np.empty((0, 1))), DIVERSE, 1) == [5]


@pytest.mark.parametrize("mode", MODES)
def test_equal_graphs_count_as_one(mode: str) -> None:
    twice = np.vstack([POINTS[:10], POINTS[:10]])
    mean = np.linspace(0, 1, 20)
    case = situation(candidates=twice, taken=POINTS[:3], mean=mean, deviation=np.full(20, 0.1), best=0.5)
    picks = rows(case, mode, 20)
    assert sorted(row % 10 for row in picks) == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("mode", MODES)
def test_without_predictions_every_mode_is_diverse(mode: str) -> None:
    assert select(situation(), mode, 5) == select(situation(), DIVERSE, 5)


@pytest.mark.parametrize("mode", [BEST, BOTH])
def test_the_highest_prediction_comes_first_and_diverse_ones_alternate(mode: str) -> None:
    picks = select(predicted(), mode, 4)
    assert picks[0].row == 7
    assert picks[0].reason == "best: 0.900 ± 0.050 predicted"
    assert [pick.reason.partition(":")[0].split()[0] for pick in picks] == ["best", "diverse", "best", "diverse"]


def test_best_is_diverse_among_the_promising_only() -> None:
    mean = np.linspace(0, 1, 80)
    case = predicted(mean=mean, taken=POINTS[:1])
    assert all(row >= 55 for row in rows(case, BEST, 8))
    assert min(rows(case, BOTH, 8)) < 55


@pytest.mark.parametrize("mode", MODES)
def test_a_selection_is_deterministic_and_a_prefix_of_a_larger_one(mode: str) -> None:
    assert rows(predicted(), mode, 9)[:4] == rows(predicted(), mode, 4)


def test_candidates_like_an_earlier_one_lose_score() -> None:
    points = np.vstack([POINTS, POINTS[7] + 1e-3])
    mean = np.append(np.full(80, 0.5), 0.89)
    mean[[7, 40]] = 0.9, 0.8
    case = predicted(candidates=points, mean=mean, deviation=np.full(81, 0.05), taken=POINTS[60:62])
    assert [pick.row for pick in select(case, BOTH, 3)][::2] == [7, 40]


def test_candidates_like_a_pending_one_lose_score() -> None:
    points = np.vstack([POINTS, POINTS[7] + 1e-3])
    mean = np.append(np.full(80, 0.5), 0.89)
    mean[40] = 0.8
    case = predicted(candidates=points, mean=mean, deviation=np.full(81, 0.05), taken=POINTS[[7]], pending=POINTS[[7]])
    assert rows(case, BOTH, 1) == [40]


@pytest.mark.parametrize(("second", "row"), [(0.6, 4), (0.5, 3)])
def test_a_cheaper_network_wins_if_it_is_nearly_as_good(second: float, row: int) -> None:
    mean = np.full(80, 0.1)
    mean[[3, 4]] = 0.61, second
    seconds = np.full(80, 10.0)
    seconds[3] = 100.0
    (pick,) = select(predicted(mean=mean, seconds=seconds), BEST, 1)
    assert pick.row == row
    assert pick.reason.endswith(f"predicted, {seconds[row]:.3g} s")


def test_a_prediction_that_only_ranks_is_followed() -> None:
    assert rows(predicted(deviation=np.full(80, np.nan)), BEST, 1) == [7]


def test_expected_improvement_is_the_mean_of_the_positive_part() -> None:
    draws = norm.rvs(0.4, 0.1, size=200_000, random_state=0)
    (value,) = expected_improvement(np.array([0.4]), np.array([0.1]), 0.45)
    assert value == pytest.approx(np.maximum(draws - 0.45, 0).mean(), rel=0.02)


def test_nothing_left() -> None:
    assert select(situation(candidates=POINTS[:3], taken=POINTS[:3]), DIVERSE, 2) == []
