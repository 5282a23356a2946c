"""Metrics agree with values computed by hand, and no question contains the labels that it asks for."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from predictor.evaluation import (
    DEFAULT_SPLITS,
    Answer,
    QuestionBatch,
    answer_batch,
    batch_questions,
    draw_plots,
    join_family_answers,
    join_family_sets,
    make_questions,
    summarise,
    to_markdown,
)
from predictor.evaluation.metrics import bootstrap_interval, score_prediction
from predictor.evaluation.plots import LEVELS, interval_coverage
from predictor.label_set import LabelSet
from predictor.models import Prediction
from predictor.models.base import Model
from predictor.models.transfer import TransferModel
from predictor.networks.fitting import Checkpointer
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


@pytest.mark.parametrize("split", DEFAULT_SPLITS)
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
    (answer,) = answer_batch(batch, ["gp"])
    assert (answer.support_size, answer.query_size) == ("others", 25)
    assert answer.scores.spearman > 0.8  # and not the -1 of a mean of all others
    uninformed = replace(question, support=replace(question.support, values=np.zeros(25)))
    (answer,) = answer_batch(QuestionBatch(batch.sources, (uninformed,)), ["gp"])
    assert answer.scores.spearman == 0


def test_a_small_set_is_skipped() -> None:
    assert list(make_questions(SETS, ["b/det/y"], ["task"], [20], 1)) == []


def test_a_summary_has_every_cell_and_marks_the_best() -> None:
    (batch,) = batch_questions(make_questions(SETS, ["a/det/x"], ["task"], [20], 3))
    rows = summarise(answer_batch(batch, ["flops", "gp"]))
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
    rows = summarise([answer for batch in batches for answer in answer_batch(batch, ["flops"])])
    assert [row["target"] for row in rows] == ["a/seg/x", "a/det/x", "mean of 2"]
    assert rows[2]["spearman"] == pytest.approx((rows[0]["spearman"] + rows[1]["spearman"]) / 2)
    assert rows[2]["asked"] == 140
    one_model_each = answer_batch(batches[0], ["gp"]) + answer_batch(batches[1], ["flops"])
    assert sum(row["target"] == "mean of 2" for row in summarise(one_model_each)) == 0


def test_a_model_without_any_labels_gives_no_answer() -> None:
    single = [label_set("a/seg/x", 90, [1, 0, 0, 0, 0])]
    (batch,) = batch_questions(make_questions(single, ["a/seg/x"], ["space"], [0], 1))
    assert answer_batch(batch, ["default"]) == []
    (answer,) = answer_batch(batch, ["flops"])
    assert answer.scores.spearman > 0.9


def test_questions_with_the_same_sources_are_one_batch() -> None:
    questions = list(make_questions(SETS, ["a/det/x"], DEFAULT_SPLITS, [0, 20], 2))
    batches = batch_questions(questions)
    # By architecture, each seed excludes other architectures; by task and by space, both exclude the same sets.
    assert [(len(batch.questions), len(batch.sources)) for batch in batches] == [(2, 3), (2, 3), (4, 2), (4, 2)]
    assert [question for batch in batches for question in batch.questions] == questions


def test_networks_that_compute_the_same_do_not_answer_for_each_other() -> None:
    once = label_set("a/seg/x", 60, [1, 0, 0, 0, 0])
    twice = LabelSet.join([once, replace(once, architectures=np.array([f"{n}-again" for n in once.architectures]))])
    other_task = replace(
        twice, name="a/det/x", task="det", architectures=np.array([f"{n}-det" for n in twice.architectures])
    )
    for question in make_questions([twice, other_task], ["a/seg/x"], ["architecture"], [0, 30], 3):
        assert 30 < len(question.query) < 90
        assert not set(question.query.graphs) & set(question.support.graphs)
        (source,) = question.sources
        assert not set(question.query.graphs) & set(source.graphs)


class Counting(Model):
    """Counts how often it is fitted and adapted."""

    name = "counting"
    fits = adaptations = 0

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        Counting.fits += 1

    def adapt(self, support: LabelSet) -> None:
        Counting.adaptations += 1

    def predict(self, query: LabelSet) -> Prediction:
        return Prediction.ranking(query.column("log_flops"))


def test_a_model_is_fitted_once_for_equal_sources_and_adapted_once_for_equal_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("predictor.evaluation.protocol.get_model", lambda name: Counting)
    # Three tasks of the same networks: by architecture nothing is left of them, so all three splits know the same set.
    cells = [label_set(f"a/{task}/x", 30, [1, 0, 0, 0, 0]) for task in ("cls", "seg", "det")]
    other = label_set("b/pose/y", 30, [1, 0, 0, 0, 0], first=500)
    names = [labels.name for labels in cells]
    questions = list(make_questions([*cells, other], names, ["architecture", "space"], ["others"], 3))
    batches = batch_questions(questions)
    assert [[source.name for source in batch.sources] for batch in batches] == [["b/pose/y"]]
    Counting.fits = Counting.adaptations = 0
    answers = [answer for batch in batches for answer in answer_batch(batch, ["counting"])]
    assert (len(answers), Counting.fits, Counting.adaptations) == (6, 1, 3 * 30)


def test_variants_share_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = list[str]()
    fit = TransferModel.fit
    monkeypatch.setattr(TransferModel, "fit", lambda model, sources: (fits.append(model.name), fit(model, sources)))
    (batch,) = batch_questions(
        make_questions([label_set("a/cls/x", 90, [1, 0, 0, 0, 0])], ["a/cls/x"], ["space"], [20], 1)
    )
    names = ["default", "gp", "default:stacking_labels=100", "default:forests=false"]
    answers = answer_batch(batch, names)
    assert fits == ["default"]
    assert [answer.model for answer in answers] == names
    assert len({answer.prediction.mean.tobytes() for answer in answers}) == 4


def test_costs_are_measured_in_their_own_unit_and_the_lowest_is_best() -> None:
    milliseconds = np.array([12.0, 5.0, 7.0, 30.0, 8.0, 9.0, 40.0])
    predicted = Prediction(milliseconds + np.array([0, 30.0, 0, 0, 0, 0, 0]), np.full(7, 1.0))
    scores = score_prediction(predicted, milliseconds, are_costs=True)
    assert scores.mae == pytest.approx(30 / 7)
    assert scores.regret == 2  # the fastest of the five with the lowest predictions takes 7 ms, not 5
    assert score_prediction(Prediction.ranking(milliseconds), milliseconds, are_costs=True).spearman == 1
    latency = label_set("a/latency/phone", 90, [1, 0, 0, 0, 0])
    latency = replace(latency, values=latency.values * 50 - 10)  # any real numbers
    (batch,) = batch_questions(make_questions([latency], ["a/latency/phone"], ["space"], [20], 1))
    (answer,) = answer_batch(batch, ["gp"])
    assert (answer.are_costs, latency.lower_is_better, SETS[0].lower_is_better) == (True, True, False)
    assert answer.scores == score_prediction(answer.prediction, answer.measured, are_costs=True)
    assert answer.scores.spearman > 0.9


def published(name: str, families: Sequence[str], first: int = 0) -> LabelSet:
    labels = label_set(name, len(families), [1, 0, 0, 0, 0], first=first)
    return replace(labels, families=np.array(families), recipes=("published/1x/0",))


def test_each_family_is_predicted_without_any_label_of_it() -> None:
    target = published("mmseg/seg/x", [*("ann", "psp", "knet") * 7])
    other = published("mmseg/seg/y", ["ann", "psp"] * 6)
    sets = [target, other, SETS[0]]
    questions = list(make_questions(sets, ["mmseg/seg/x"], ["family"], [0, 20], 3))
    assert [question.query.families[0] for question in questions if question.query.families is not None] == [
        "ann",
        "knet",
        "psp",
    ]
    for question in questions:
        assert question.query.families is not None
        family = question.query.families[0]
        known = [labels for labels in (question.support, *question.sources) if labels.families is not None]
        assert not any(family in labels.families for labels in known if labels.families is not None)
        assert [source.name for source in question.sources] == ["mmseg/seg/y", "a/seg/x"]
        assert (len(question.support), question.support_size) == (14, "others")
    answers = [answer for batch in batch_questions(questions) for answer in answer_batch(batch, ["flops"])]
    (joined,) = join_family_answers(answers)
    assert (joined.query_size, joined.support_size) == (21, "others")
    assert joined.scores == score_prediction(joined.prediction, joined.measured)
    assert join_family_answers([joined]) == [joined]
    (row,) = summarise([joined])
    within = [
        spearmanr(joined.prediction.mean[rows], joined.measured[rows])[0]
        for rows in (joined.families == name for name in ("ann", "psp", "knet"))
    ]
    assert row["spearman_within"] == pytest.approx(np.mean(within))
    assert list(make_questions(sets, ["a/seg/x"], ["family"], [0], 1)) == []


def test_sets_of_single_families_are_joined_for_the_split_by_family() -> None:
    detectors = [published(f"mmdet-{name}/det/coco", [name] * 12) for name in ("atss", "paa")]
    segmentors = published("mmseg/seg/x", ["ann"] * 3)
    joined, same, plain = join_family_sets([*detectors, segmentors, SETS[0]])
    assert (joined.name, joined.space, len(joined)) == ("mmdet/det/coco", "mmdet", 24)
    assert joined.families is not None
    assert list(np.unique(joined.families)) == ["atss", "paa"]
    assert (same, plain) == (segmentors, SETS[0])
    assert joined.take(joined.families == "paa").values.tolist() == detectors[1].values.tolist()


def test_plots_are_written_next_to_the_report(tmp_path: Path) -> None:
    (batch,) = batch_questions(make_questions(SETS, ["a/det/x"], ["task"], [0, 20], 2))
    answers = answer_batch(batch, ["flops", "gp", "trees"])
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
