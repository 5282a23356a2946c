"""Held-out predictions weight the experts and calibrate the intervals."""

from collections.abc import Callable

import numpy as np
import pytest

from predictor.label_set import Floats
from predictor.models.experts import posterior_slope
from predictor.models.forest import Forest, ResidualForest
from predictor.models.gaussian_process import Process, ResidualProcess, linear, rbf
from predictor.models.mixture import Mixture, stacking_weights

DRAW = np.random.default_rng(0)
TABLE, QUERY = DRAW.normal(size=(20, 3)), DRAW.normal(size=(2000, 3))
ONE_WEIGHT = np.ones(1)
KERNEL = linear(0, 3, 1.0) + rbf(0, 3, 1.0, 1.5)


def function(table: Floats) -> Floats:
    return np.sin(table[:, 0]) + 0.3 * table[:, 1]


def without(process: Process, kept: np.ndarray, values: Floats) -> Process:
    """Return a process on some labels with the hyper-parameters fitted to all."""
    return Process.restore(KERNEL, {"table": TABLE[kept], "values": values[kept], "theta": process.state()["theta"]})


def test_closed_form_equals_leaving_labels_out() -> None:
    values = function(TABLE)
    values -= values.mean()
    values /= values.std()
    process = Process(KERNEL, TABLE, values, 0)
    mean, deviation = process.held_out_predictions()
    for number in range(0, 20, 5):
        kept = np.arange(20) != number
        fitted = without(process, kept, values)._regressor
        # It standardised the remaining labels by their own mean and deviation.
        fitted.alpha_ = np.linalg.solve(fitted.L_ @ fitted.L_.T, values[kept])
        fitted._y_train_mean, fitted._y_train_std = 0.0, 1.0
        again, spread = fitted.predict(TABLE[[number]], return_std=True)
        assert mean[number] == pytest.approx(again[0], abs=1e-6)
        assert deviation[number] == pytest.approx(spread[0], abs=1e-6)


def test_the_prior_mean_is_part_of_leave_one_out_predictions() -> None:
    values = 3 * TABLE[:, 2] + 0.1 * DRAW.normal(size=20)
    process = ResidualProcess(rbf(0, 2, 0.1, 2.0), TABLE, values, 0, column=2, prior_slope=1.0)
    assert np.corrcoef(process.held_out_predictions()[0], values)[0, 1] > 0.95


@pytest.mark.parametrize("surprise", [0.25, 4.0])
def test_intervals_are_scaled_by_leave_one_out_errors(surprise: float) -> None:
    """A process with wrong deviations is corrected by its errors."""

    class Wrong(Process):
        def held_out_predictions(self) -> tuple[Floats, Floats]:
            mean, deviation = super().held_out_predictions()
            return mean, deviation / surprise

    values = function(TABLE) + 0.3 * DRAW.normal(size=20)
    right, wrong = (
        Mixture([kind(KERNEL, TABLE, values, 0)], ONE_WEIGHT, values, 8.0)(QUERY) for kind in (Process, Wrong)
    )
    assert np.array_equal(right[0], wrong[0])
    ratio = float((wrong[1] / right[1]).mean())
    # Only in part: twenty labels are few.
    assert 1.5 < ratio < surprise if surprise > 1 else surprise < ratio < 0.9


def steps(table: Floats) -> Floats:
    return np.where(table[:, 0] > 0, np.where(table[:, 1] > 0.5, 3.0, 1.0), 0.0)


@pytest.mark.parametrize(("of", "columns", "better"), [(function, 4, 0), (steps, 40, 1)])
def test_smooth_functions_are_for_the_process_and_steps_for_the_forest(
    of: Callable[[Floats], Floats], columns: int, better: int
) -> None:
    draw = np.random.default_rng(1)
    table, query = draw.normal(size=(60, columns)), draw.normal(size=(500, columns))
    values = of(table)
    process, forest = Process(rbf(0, columns, 1.0, columns**0.5), table, values, 0), Forest(table, values, 0)
    errors = [float(np.abs(expert(query)[0] - of(query)).mean()) for expert in (process, forest)]
    assert errors[better] < errors[1 - better] < np.abs(of(query) - values.mean()).mean()
    weights = Mixture([process, forest], np.ones(2), values, 16.0).weights
    assert weights.sum() == pytest.approx(1)
    assert weights[better] > 0.5


def test_prior_weights_count_as_much_as_their_labels() -> None:
    values = function(TABLE)
    right, wrong = (values, np.full(20, 0.1)), (values + 5, np.full(20, 0.1))
    weights = [stacking_weights([right, wrong], values, np.array([1.0, 3.0]), labels)[1] for labels in (0.1, 20.0, 1e6)]
    assert weights == pytest.approx([0.1 * 0.75 / 20.1, 0.375, 0.75], abs=1e-3)


def test_the_slope_is_between_the_prior_and_the_labels() -> None:
    mean = TABLE[:, 0]
    slopes = [posterior_slope(mean[:count], 2 * mean[:count], 0.5, 0.3) for count in (1, 5, 20)]
    assert 0.5 < slopes[0] < slopes[1] < slopes[2] < 2


def test_a_forest_with_a_prior_mean_extrapolates_along_it() -> None:
    values = 2 * TABLE[:, 2]
    flat, sloped = (ResidualForest(TABLE, values, 0, np.array([0, 1]), 2, slope) for slope in (0.0, 2.0))
    assert np.abs(sloped(QUERY)[0] - 2 * QUERY[:, 2]).max() < 1e-3
    assert np.abs(flat(QUERY)[0] - 2 * QUERY[:, 2]).mean() > 1
    assert np.allclose(sloped.held_out_predictions()[0], values, atol=1e-3)


def test_a_forest_is_the_same_on_processors_that_round_otherwise() -> None:
    rng = np.random.default_rng(0)
    # Few labels: many columns divide them alike, so many splits are equally good.
    table, values, asked = rng.integers(0, 3, (5, 60)) * 1.0, rng.normal(size=5), rng.integers(0, 3, (9, 60)) * 1.0
    forests = [Forest(table, values * (1 + error), seed=0) for error in (0.0, 2.0**-52, -(2.0**-52))]
    expected = forests[0](asked)[0]
    for forest in forests[1:]:
        np.testing.assert_array_equal(forest(asked)[0], expected)
