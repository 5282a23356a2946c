"""Metrics agree with values computed by hand, and no question contains the labels that it asks for."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from predictor.evaluation import (
    SPLITS,
    Answer,
    QuestionBatch,
    answer_batch,
    batch_questions,
    draw_plots,
    make_questions,
    summarise,
    to_markdown,
)
from predictor.evaluation.metrics import bootstrap_interval, score_prediction
from predictor.evaluation.plots import LEVELS, interval_coverage
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
    scores = score_prediction(Prediction(np.array([0.2, 0.1, 0.3, 0.4, 0.5, 0.6]), np.full(6, 0.05)), values)
    assert scores.mae == pytest.approx(100 * 0.2 / 6)
    assert scores.spearman == pytest.approx(1 - 6 * 2 / (6 * 35))
    assert scores.kendall == pytest.approx(1 - 2 / 15)
    assert scores.regret == 0
    assert scores.coverage == pytest.approx(4 / 6)  # two errors are 0.1, and the half width is 0.082
    worst_first = score_prediction(Prediction.ranking(-values), values)
    assert worst_first.regret == pytest.approx(10)
    assert math.isnan(worst_first.mae)
    assert math.isnan(worst_first.coverage)
    constant = Prediction(np.full(6, 0.3), np.full(6, 0.1))
    assert score_prediction(constant, values).spearman == 0
    assert score_prediction(Prediction(values, values), np.full(6, 0.3)).kendall == 0


def test_a_bootstrap_interval_contains_the_mean() -> None:
    low, high = bootstrap_interval(np.array([0.7, 0.8, 0.9]))
    assert 0.699 < low < 0.8 < high < 0.901
    assert all(math.isnan(bound) for bound in bootstrap_interval(np.array([])))


@pytest.mark.parametrize("split", SPLITS)
def test_known_labels_exclude_the_query(split: str) -> None:
    questions = list(make_questions(SETS, ["a/det/x"], [split], [0, 20], 2))  # type: ignore[list-item]
    assert [(q.support_size, q.seed) for q in questions] == [(0, 0), (20, 0), (0, 1), (20, 1)]
    for question in questions:
        query = set(question.query.architectures)
        assert not query & set(question.support.architectures)
        assert len(query) == 70
        names = {source.name for source in question.sources}
        assert "a/det/x" not in names
        if split == "architecture":
            assert not any(query & set(source.architectures) for source in question.sources)
        if split == "task":
            assert names == {"a/seg/x", "b/det/y"}
        if split == "space":
            assert names == {"b/det/x", "b/det/y"}


def test_leave_one_out_does_not_know_the_predicted_label() -> None:
    (question,) = make_questions(SETS, ["b/det/y"], ["space"], ["others"], 5)
    assert (question.support_size, question.seed, question.leave_one_out) == ("others", 0, True)
    assert len(question.support) == len(question.query) == 25
    assert len(list(make_questions(SETS, ["b/det/y"], ["space"], ["others", 0], 2))) > 1  # numbers may be added
    (batch,) = batch_questions([question])
    (answer,) = answer_batch(batch, "gp")
    assert (answer.support_size, answer.query_size) == ("others", 25)
    assert answer.scores.spearman > 0.8  # and not the -1 of a mean of all others
    uninformed = replace(question, support=replace(question.support, values=np.zeros(25)))
    (answer,) = answer_batch(QuestionBatch(batch.sources, (uninformed,)), "gp")
    assert answer.scores.spearman == 0


def test_a_small_set_is_skipped() -> None:
    assert list(make_questions(SETS, ["b/det/y"], ["task"], [20], 1)) == []


def test_a_summary_has_every_cell_and_marks_the_best() -> None:
    (batch,) = batch_questions(make_questions(SETS, ["a/det/x"], ["task"], [20], 3))
    rows = summarise([answer for model in ("flops", "gp") for answer in answer_batch(batch, model)])
    assert [(row["model"], row["seeds"], row["labels"], row["asked"]) for row in rows] == [
        ("flops", 3, 20, 70),
        ("gp", 3, 20, 70),
    ]
    assert min(row["spearman"] for row in rows) > 0.9
    assert rows[1]["spearman_low"] <= rows[1]["spearman"] <= rows[1]["spearman_high"]
    best = max(rows, key=lambda row: row["spearman"])["model"]
    table = to_markdown(rows)
    assert "mean of" not in table
    assert [f"| {best} |" in line for line in table.splitlines() if "**" in line] == [True]


def test_means_over_targets_need_a_model_on_every_target() -> None:
    batches = batch_questions(make_questions(SETS, ["a/seg/x", "a/det/x"], ["task"], [20], 1))
    rows = summarise([answer for batch in batches for answer in answer_batch(batch, "flops")])
    assert [row["target"] for row in rows] == ["a/seg/x", "a/det/x", "mean of 2"]
    assert rows[2]["spearman"] == pytest.approx((rows[0]["spearman"] + rows[1]["spearman"]) / 2)
    assert rows[2]["asked"] == 140
    one_model_each = answer_batch(batches[0], "gp") + answer_batch(batches[1], "flops")
    assert sum(row["target"] == "mean of 2" for row in summarise(one_model_each)) == 0


def test_a_model_without_any_labels_gives_no_answer() -> None:
    single = [label_set("a/seg/x", 90, [1, 0, 0, 0, 0])]
    (batch,) = batch_questions(make_questions(single, ["a/seg/x"], ["space"], [0], 1))
    assert answer_batch(batch, "default") == []
    (answer,) = answer_batch(batch, "flops")
    assert answer.scores.spearman > 0.9


def test_questions_with_the_same_sources_are_one_batch() -> None:
    questions = list(make_questions(SETS, ["a/det/x"], SPLITS, [0, 20], 2))
    batches = batch_questions(questions)
    # By architecture, each seed excludes other architectures; by task and by space, both exclude the same sets.
    assert [(len(batch.questions), len(batch.sources)) for batch in batches] == [(2, 3), (2, 3), (4, 2), (4, 2)]
    assert [question for batch in batches for question in batch.questions] == questions


def test_plots_are_written_next_to_the_report(tmp_path: Path) -> None:
    (batch,) = batch_questions(make_questions(SETS, ["a/det/x"], ["task"], [0, 20], 2))
    answers = [answer for model in ("flops", "gp", "trees") for answer in answer_batch(batch, model)]
    (plot,) = draw_plots(answers, tmp_path / "report.md")
    assert plot.name == "report-a-det-x-task.png"
    assert Image.open(plot).size[0] > 1000
    only_ranking = [answer for answer in answers if (answer.model, answer.support_size) == ("flops", 0)]
    assert draw_plots(only_ranking, tmp_path / "report.md") == []


def test_interval_coverage_is_nominal_for_the_right_deviation() -> None:
    measured = np.random.default_rng(0).normal(0.5, 0.1, 4000)
    right, narrow = (Prediction(np.full(4000, 0.5), np.full(4000, width)) for width in (0.1, 0.05))
    answers = [
        Answer("a", "task", 20, 0, "m", 4000, score_prediction(prediction, measured), prediction, measured)
        for prediction in (right, narrow)
    ]
    assert np.abs(interval_coverage(answers[:1]) - LEVELS).max() < 0.03
    # Half the deviation: the 90 % interval reaches to 0.82 deviations.
    assert interval_coverage(answers[1:])[LEVELS.searchsorted(0.9)] == pytest.approx(0.59, abs=0.03)
