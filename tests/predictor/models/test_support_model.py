"""The parts of the model on few labels: process, forest, their weights and the calibration of intervals."""

from collections.abc import Callable

import numpy as np
import pytest

from predictor.label_set import PROXIES, Floats
from predictor.models.additive_process import AdditiveProcess, Term
from predictor.models.forest import Forest
from predictor.models.scaling import variance_factor
from predictor.models.support_model import Inputs, SupportModel, stacking_weights

DRAW = np.random.default_rng(0)
TABLE, QUERY = DRAW.normal(size=(40, 4)), DRAW.normal(size=(1000, 4))
TERMS = [Term("linear", 0, 4, 0.5), Term("rbf", 0, 4, 0.5), Term("matern32", 0, 2, 0.5)]


def smooth(table: Floats) -> Floats:
    return np.sin(table[:, 0]) + 0.3 * table[:, 1]


def steps(table: Floats) -> Floats:
    return np.where(table[:, 0] > 0, np.where(table[:, 1] > 0.5, 3.0, 1.0), 0.0)


@pytest.mark.parametrize(("function", "columns", "better"), [(smooth, 4, 0), (steps, 40, 1)])
def test_smooth_functions_are_for_the_process_and_steps_for_the_forest(
    function: Callable[[Floats], Floats], columns: int, better: int
) -> None:
    draw = np.random.default_rng(1)
    table, query = draw.normal(size=(60, columns)), draw.normal(size=(500, columns))
    values = function(table)
    models = AdditiveProcess([Term("rbf", 0, columns, 1.0)], table, values, 0), Forest(table, values, 0)
    errors = [float(np.abs(model(query)[0] - function(query)).mean()) for model in models]
    assert errors[better] < errors[1 - better] < np.abs(function(query) - values.mean()).mean()
    weights = stacking_weights([model.held_out_predictions() for model in models], values, 16.0)
    assert weights.sum() == pytest.approx(1)
    assert weights[better] > 0.5


def test_labels_left_out_in_closed_form_equal_labels_left_out() -> None:
    values = smooth(TABLE)
    values = (values - values.mean()) / values.std()
    process = AdditiveProcess(TERMS, TABLE, values, 0)
    mean, deviation = process.held_out_predictions()
    for number in (0, 17, 39):
        kept = np.arange(40) != number
        cross = process._covariance(process._draws, TABLE[[number]], TABLE[kept])
        noise = process._draws.noise[:, None, None]
        inverse = np.linalg.inv(process._covariance(process._draws, TABLE[kept], TABLE[kept]) + noise * np.eye(39))
        means = (cross @ inverse @ values[kept])[:, 0]
        total = process._prior_variance(TABLE[[number]])[:, 0] + process._draws.noise
        variances = total - (cross @ inverse @ cross.transpose(0, 2, 1))[:, 0, 0]
        expected = float(process._weights @ means)
        spread = float(process._weights @ (variances + (means - expected) ** 2))
        assert mean[number] == pytest.approx(expected, abs=1e-6)
        assert deviation[number] == pytest.approx(np.sqrt(spread), abs=1e-6)


def test_a_forest_fills_in_missing_columns_and_ignores_constant_ones() -> None:
    table = np.column_stack([TABLE, np.full(40, 7.0), np.full(40, np.nan)])
    forest = Forest(table, steps(TABLE), 0)
    query = np.column_stack([QUERY, np.full((1000, 2), 1e9)])
    assert np.array_equal(forest(query)[0], Forest(TABLE, steps(TABLE), 0)(QUERY)[0])
    query[:, 0] = np.nan
    assert np.isfinite(forest(query)[0]).all()


def test_a_forest_on_constant_columns_predicts_the_mean() -> None:
    forest = Forest(np.ones((5, 3)), np.arange(5.0), 0)
    assert (forest(np.zeros((2, 3)))[0] == 2.0).all()
    assert (forest.held_out_predictions()[0] == 2.0).all()


def test_without_evidence_weights_are_nearly_equal() -> None:
    guesses = [(np.zeros(3), np.ones(3)), (np.full(3, 0.5), np.ones(3))]
    weights = stacking_weights(guesses, np.zeros(3), 16.0)
    assert 0.5 < weights[0] < 0.55
    weights = stacking_weights([(m.repeat(400), d.repeat(400)) for m, d in guesses], np.zeros(1200), 16.0)
    assert weights[0] > 0.8


@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_held_out_errors_scale_variances_in_part(scale: float) -> None:
    few, many = (variance_factor(np.full(count, scale), 10.0) for count in (5, 500))
    assert abs(np.log(few)) < abs(np.log(many)) < abs(np.log(scale))
    assert many == pytest.approx(scale, rel=0.1)


def inputs(table: Floats, sources: Floats) -> Inputs:
    proxies = np.full((len(table), len(PROXIES)), np.nan)
    mean = sources.mean(axis=1) if sources.shape[1] else np.zeros(len(table))
    return Inputs(np.column_stack([table, proxies]), sources, mean)


@pytest.mark.parametrize("labels", [8, 40])
def test_source_scores_help_as_far_as_they_agree_with_the_labels(labels: int) -> None:
    draw = np.random.default_rng(2)
    table, truth = TABLE[:labels], smooth(QUERY) + 5

    def correlation(sources: Floats, of_query: Floats) -> float:
        model = SupportModel(inputs(table, sources), smooth(table) + 5, 0.5, 0)
        return float(np.corrcoef(np.median(model.quantiles(inputs(QUERY, of_query)), axis=1), truth)[0, 1])

    noise, more_noise = draw.normal(size=(labels, 2)), draw.normal(size=(1000, 2))
    alone = correlation(np.zeros((labels, 0)), np.zeros((1000, 0)))
    good = correlation(smooth(table)[:, None] + 0.2 * noise, smooth(QUERY)[:, None] + 0.2 * more_noise)
    misleading = correlation(noise, more_noise)
    assert good > max(alone, 0.9)
    if labels == 40:  # eight are too few to find out what misleads
        assert misleading > alone - 0.1


def test_intervals_hold_what_they_promise() -> None:
    values = smooth(TABLE) + 0.3 * DRAW.normal(size=40)
    quantiles = SupportModel(inputs(TABLE, np.zeros((40, 0))), values, 0.0, 0).quantiles(
        inputs(QUERY, np.zeros((1000, 0)))
    )
    low, high = np.quantile(quantiles, [0.05, 0.95], axis=1)
    truth = smooth(QUERY) + 0.3 * DRAW.normal(size=1000)
    assert 0.8 < ((low <= truth) & (truth <= high)).mean() < 0.98
