"""Leave-one-out errors calibrate the intervals."""

import numpy as np
import pytest

from predictor.label_set import Floats
from predictor.models.gaussian_process import Process, ResidualProcess, linear, rbf
from predictor.models.mixture import Mixture

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
    mean, deviation = process.loo_predictions()
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
    assert np.corrcoef(process.loo_predictions()[0], values)[0, 1] > 0.95


@pytest.mark.parametrize("surprise", [0.25, 4.0])
def test_intervals_are_scaled_by_leave_one_out_errors(surprise: float) -> None:
    """A process with wrong deviations is corrected by its errors."""

    class Wrong(Process):
        def loo_predictions(self) -> tuple[Floats, Floats]:
            mean, deviation = super().loo_predictions()
            return mean, deviation / surprise

    values = function(TABLE) + 0.3 * DRAW.normal(size=20)
    right, wrong = (Mixture([kind(KERNEL, TABLE, values, 0)], ONE_WEIGHT, values)(QUERY) for kind in (Process, Wrong))
    assert np.array_equal(right[0], wrong[0])
    ratio = float((wrong[1] / right[1]).mean())
    # Only in part: twenty labels are few.
    assert 1.5 < ratio < surprise if surprise > 1 else surprise < ratio < 0.9
