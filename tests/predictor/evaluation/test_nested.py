"""Each space's answers come from the variant that was best on all other spaces."""

import numpy as np
import pytest

from predictor.evaluation import Answer, Choice, select_nested
from predictor.evaluation.metrics import Scores
from predictor.models import Prediction

SPACES = {"a/seg/x": "a", "a/det/x": "a", "b/seg/x": "b", "c/seg/x": "c"}


def answer(target: str, model: str, spearman: float, size: int = 20, seed: int = 0) -> Answer:
    scores = Scores(mae=1.0, spearman=spearman, kendall=0.0, regret=0.0, coverage=0.9)
    nothing = np.zeros(2)
    return Answer(target, "space", size, seed, model, 2, scores, Prediction(nothing, nothing), nothing)


def answers(scores: dict[str, tuple[float, float]]) -> list[Answer]:
    """scores: by target, of variants v and w."""
    return [answer(t, model, value) for t, values in scores.items() for model, value in zip("vw", values, strict=True)]


def test_the_variant_that_is_best_on_a_space_is_chosen_on_others_only() -> None:
    given = answers({"a/seg/x": (0.9, 0.1), "b/seg/x": (0.5, 0.6), "c/seg/x": (0.5, 0.7)})
    chosen, choices = select_nested(given, ["v", "w"], SPACES)
    assert choices == [
        Choice("a", "space", "w", pytest.approx(0.65)),  # although v is better there
        Choice("b", "space", "v", pytest.approx(0.7)),
        Choice("c", "space", "v", pytest.approx(0.7)),
    ]
    assert {one.target: one.scores.spearman for one in chosen} == {"a/seg/x": 0.1, "b/seg/x": 0.5, "c/seg/x": 0.5}
    assert {one.model for one in chosen} == {"nested"}


def test_spaces_count_equally_however_many_sets_they_have() -> None:
    given = answers({"a/seg/x": (0.6, 0.5), "a/det/x": (0.6, 0.5), "b/seg/x": (0.5, 0.65), "c/seg/x": (0.0, 0.0)})
    _, choices = select_nested(given, ["v", "w"], SPACES)
    assert choices[-1] == Choice("c", "space", "w", pytest.approx(0.575))


def test_other_models_are_ignored_and_one_space_gives_no_choice() -> None:
    given = answers({"a/seg/x": (0.9, 0.1), "b/seg/x": (0.5, 0.6)})
    assert select_nested([*given, answer("a/seg/x", "gp", 1.0)], ["v", "w"], SPACES) == select_nested(
        given, ["v", "w"], SPACES
    )
    assert select_nested(given[:2], ["v", "w"], SPACES) == ([], [])
