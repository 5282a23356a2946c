"""Figures as computed by hand, and questions that do not give away their answers."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from predictor.evaluation import SPLITS, Answer, Round, answers, draw_plots, markdown, questions, rounds, summarise
from predictor.evaluation.metrics import bootstrap_interval, scores
from predictor.evaluation.plots import LEVELS, coverage
from predictor.models import Prediction
from tests.support.synthetic_sets import label_set

SETS = [
    label_set("a/seg/x", 90, [1, 0, 0, 0, 0]),
    label_set("a/det/x", 90, [1, 1, 0, 0, 0]),
    label_set("b/det/x", 90, [1, 1, 0, 0, 0]),
    label_set("b/det/y", 25, [1, 1, 0, 0, 0]),
]


def test_scores_by_hand() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    found = scores(Prediction(np.array([0.2, 0.1, 0.3, 0.4, 0.5, 0.6]), np.full(6, 0.05)), values)
    assert found.mae == pytest.approx(100 * 0.2 / 6)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (6 * 35))
    assert found.kendall == pytest.approx(1 - 2 / 15)
    assert found.regret == 0
    assert found.coverage == pytest.approx(4 / 6)  # two lie 0.1 away, the interval reaches to 0.082
    worst_first = scores(Prediction.ranking(-values), values)
    assert worst_first.regret == pytest.approx(10)
    assert math.isnan(worst_first.mae)
    assert math.isnan(worst_first.coverage)
    alike = Prediction(np.full(6, 0.3), np.full(6, 0.1))
    assert scores(alike, values).spearman == scores(Prediction(values, values), np.full(6, 0.3)).kendall == 0


def test_an_interval_holds_the_mean() -> None:
    low, high = bootstrap_interval(np.array([0.7, 0.8, 0.9]))
    assert 0.699 < low < 0.8 < high < 0.901
    assert all(math.isnan(bound) for bound in bootstrap_interval(np.array([])))


@pytest.mark.parametrize("split", SPLITS)
def test_a_question_gives_nothing_away(split: str) -> None:
    found = list(questions(SETS, ["a/det/x"], [split], [0, 20], 2))  # type: ignore[list-item]
    assert [(q.labels, q.seed) for q in found] == [(0, 0), (20, 0), (0, 1), (20, 1)]
    for question in found:
        asked = set(question.asked.architectures)
        assert not asked & set(question.support.architectures)
        assert len(asked) == 70
        names = {source.name for source in question.sources}
        assert "a/det/x" not in names
        if split == "architecture":
            assert not any(asked & set(source.architectures) for source in question.sources)
        if split == "task":
            assert names == {"a/seg/x", "b/det/y"}
        if split == "space":
            assert names == {"b/det/x", "b/det/y"}


def test_each_network_may_be_asked_about_with_all_others_known() -> None:
    (question,) = questions(SETS, ["b/det/y"], ["space"], ["others"], 5)
    assert (question.labels, question.seed, question.in_turn) == ("others", 0, True)
    assert len(question.support) == len(question.asked) == 25
    assert list(questions(SETS, ["b/det/y"], ["space"], ["others", 0], 2))[1:]  # the others of the numbers stay
    (played,) = rounds([question])
    (found,) = answers(played, "gp")
    assert (found.labels, found.asked) == ("others", 25)
    assert found.scores.spearman > 0.8  # and not the -1 of a mean of all others
    kept = replace(question, support=replace(question.support, values=np.zeros(25)))
    (blind,) = answers(Round(played.sources, (kept,)), "gp")
    assert blind.scores.spearman == 0  # the label asked about is not known


def test_a_set_too_small_is_not_asked_about() -> None:
    assert list(questions(SETS, ["b/det/y"], ["task"], [20], 1)) == []


def test_a_summary_has_every_cell_and_marks_the_best() -> None:
    asked = list(questions(SETS, ["a/det/x"], ["task"], [20], 3))
    (played,) = rounds(asked)
    rows = summarise([one for model in ("flops", "gp") for one in answers(played, model)])
    assert [(row["model"], row["seeds"], row["labels"], row["asked"]) for row in rows] == [
        ("flops", 3, 20, 70),
        ("gp", 3, 20, 70),
    ]
    assert min(row["spearman"] for row in rows) > 0.9
    assert rows[1]["spearman_low"] <= rows[1]["spearman"] <= rows[1]["spearman_high"]
    best = max(rows, key=lambda row: row["spearman"])["model"]
    assert "mean of" not in markdown(rows)
    assert [f"| {best} |" in line for line in markdown(rows).splitlines() if "**" in line] == [True]


def test_means_over_targets_are_of_what_all_have() -> None:
    asked = list(questions(SETS, ["a/seg/x", "a/det/x"], ["task"], [20], 1))
    rows = summarise([one for played in rounds(asked) for one in answers(played, "flops")])
    assert [row["target"] for row in rows] == ["a/seg/x", "a/det/x", "mean of 2"]
    assert rows[2]["spearman"] == pytest.approx((rows[0]["spearman"] + rows[1]["spearman"]) / 2)
    assert rows[2]["asked"] == 140
    gp = answers(rounds(asked)[0], "gp")  # of one target alone
    assert sum(row["target"] == "mean of 2" for row in summarise(gp + answers(rounds(asked)[1], "flops"))) == 0


def test_a_model_with_nothing_to_learn_from_gives_no_answer() -> None:
    alone = [label_set("a/seg/x", 90, [1, 0, 0, 0, 0])]
    (played,) = rounds(questions(alone, ["a/seg/x"], ["space"], [0], 1))
    assert answers(played, "default") == []
    (ranked,) = answers(played, "flops")
    assert ranked.scores.spearman > 0.9


def test_questions_with_the_same_sources_are_one_round() -> None:
    asked = list(questions(SETS, ["a/det/x"], SPLITS, [0, 20], 2))
    found = rounds(asked)
    # By architecture each seed leaves other networks out; by task and by space both leave out the same sets.
    assert [(len(one.questions), len(one.sources)) for one in found] == [(2, 3), (2, 3), (4, 2), (4, 2)]
    assert [question for one in found for question in one.questions] == asked


def test_pictures_are_drawn_beside_the_report(tmp_path: Path) -> None:
    (played,) = rounds(questions(SETS, ["a/det/x"], ["task"], [0, 20], 2))
    found = [one for model in ("flops", "gp", "trees") for one in answers(played, model)]
    (drawn,) = draw_plots(found, tmp_path / "report.md")
    assert drawn.name == "report-a-det-x-task.png"
    assert Image.open(drawn).size[0] > 1000
    assert draw_plots([one for one in found if (one.model, one.labels) == ("flops", 0)], tmp_path / "report.md") == []


def test_coverage_is_that_of_the_intervals() -> None:
    draw = np.random.default_rng(0)
    measured = draw.normal(0.5, 0.1, 4000)
    right, narrow = (Prediction(np.full(4000, 0.5), np.full(4000, width)) for width in (0.1, 0.05))
    told = [Answer("a", "task", 20, 0, "m", 4000, scores(one, measured), one, measured) for one in (right, narrow)]
    assert np.abs(coverage(told[:1]) - LEVELS).max() < 0.03
    assert coverage(told[1:])[LEVELS.searchsorted(0.9)] == pytest.approx(0.59, abs=0.03)  # of 0.82 deviations
