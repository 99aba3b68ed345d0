"""Trend, slope and optimum over smoothing, on responses that are known."""

import numpy as np
import pytest
from scipy.stats import linregress

from polycal.comparing.doses import dose_response

SMOOTHING = [0, 0.05, 0.1, 0.2]


def drawn(values: list[float], *, noise: float, n: int = 2000) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.array(values) + noise * random.normal(size=(n, len(values)))


def test_a_falling_response():
    """The slope is that of a regression; every replicate falls; the end is best."""
    values = [0.3, 0.25, 0.2, 0.1]
    found = dose_response(SMOOTHING, values, drawn(values, noise=0.003))
    assert found.slope == pytest.approx(linregress(SMOOTHING, values).slope)
    assert found.slope_low < -1 < found.slope_high < -0.9
    assert found.monotone > 0.99
    np.testing.assert_allclose(found.fitted, values)
    assert (found.optimum, found.optimum_low, found.optimum_high) == (0.2, 0.2, 0.2)
    assert found.chosen.tolist() == [0, 0, 0, 1]


def test_a_u_shape_has_its_optimum_inside():
    """0.1 is best, 0.05 nearly so, more is worse; nothing falls all along."""
    values = [0.3, 0.11, 0.1, 0.2]
    found = dose_response(SMOOTHING, values, drawn(values, noise=0.01))
    assert found.optimum == 0.1
    assert (found.optimum_low, found.optimum_high) == (0.05, 0.1)
    assert found.chosen[0] == found.chosen[3] == 0
    assert 0.15 < found.chosen[1] < 0.35
    assert found.monotone == 0
    np.testing.assert_allclose(found.fitted, [0.3, *[0.41 / 3] * 3])


def test_the_ends_of_an_optimum_are_those_of_the_replicates():
    """The first replicate is best at 0, all others at 0.1 or 0.2."""
    draws = [[0.0, 0.3, 0.3]] + [[0.3, 0.1, 0.2]] * 49 + [[0.3, 0.2, 0.1]] * 50
    found = dose_response([0, 0.1, 0.2], np.mean(draws, axis=0), draws)
    assert (found.optimum_low, found.optimum_high) == (0.1, 0.2)
    assert found.chosen.tolist() == [0.01, 0.49, 0.5]


def test_a_rising_response_is_fitted_rising():
    """The direction is that of the nearer fit."""
    found = dose_response([0, 1], [0.1, 0.2], drawn([0.1, 0.2], noise=0.001))
    np.testing.assert_allclose(found.fitted, [0.1, 0.2])
    assert found.monotone == 1
    assert found.optimum == 0


def test_the_nearer_of_two_fits_is_the_trend():
    """Residuals of either fit add up to 0; squared, rising is nearer by far."""
    values = [0.25, 0.5, 0.375, 1.0]
    found = dose_response(SMOOTHING, values, [values, [0.1, 0.2, 0.2, 0.3]])
    assert found.fitted.tolist() == [0.25, 0.4375, 0.4375, 1.0]
    assert found.monotone == 0.5
    found = dose_response(SMOOTHING, values[::-1], [[0.3, 0.2, 0.2, 0.1], values])
    assert found.fitted.tolist() == [1.0, 0.4375, 0.4375, 0.25]
    assert found.monotone == 0.5


def test_the_slope_s_interval_has_its_width():
    """Independent noise s: sd of the slope is s / sqrt(sum (x - mean)^2)."""
    values = [0.2] * 4
    found = dose_response(SMOOTHING, values, drawn(values, noise=0.01, n=20_000))
    sd = 0.01 / np.sqrt(((np.array(SMOOTHING) - np.mean(SMOOTHING)) ** 2).sum())
    width = found.slope_high - found.slope_low
    assert width == pytest.approx(2 * 1.96 * sd, rel=0.03)


@pytest.mark.parametrize(
    ("smoothing", "values", "replicates"),
    [
        ([0.1], [1], [[1]]),
        ([0.1, 0.1], [1, 1], [[1, 1]]),
        ([0.2, 0.1], [1, 1], [[1, 1]]),
        ([0.1, 0.2], [1, 1, 1], [[1, 1]]),
        ([0.1, 0.2], [1, 1], [[1, 1, 1]]),
    ],
)
def test_what_is_no_dose_is_refused(smoothing, values, replicates):
    with pytest.raises(ValueError, match="smoothing"):
        dose_response(smoothing, values, replicates)


def test_a_bias_widens_the_slope_and_takes_away_a_false_optimum():
    """By hand: slope (.1 - .2) / .1, and ends that a bias of .05 of either may move."""
    draws = np.array([[0.2, 0.1], [0.21, 0.11], [0.19, 0.09]] * 50)
    plain = dose_response([0, 0.1], [0.2, 0.1], draws)
    assert (plain.slope_low, plain.slope_high) == pytest.approx((-1, -1))
    assert plain.chosen.tolist() == [0, 1]
    left = dose_response([0, 0.1], [0.2, 0.1], draws, bias=[0.05, 0.0])
    assert (left.slope_low, left.slope_high) == pytest.approx((-1, -0.5))
    assert left.chosen.tolist() == [0, 1]
    right = dose_response([0, 0.1], [0.2, 0.1], draws, bias=[0.0, 0.05])
    assert (right.slope_low, right.slope_high) == pytest.approx((-1.5, -1))
    assert right.chosen.tolist() == [0, 1]  # the truth is lower still
    large = dose_response([0, 0.1], [0.2, 0.1], draws, bias=[0.15, 0.0])
    assert large.chosen.tolist() == [0, 0]
    assert (large.optimum_low, large.optimum_high) == (0, 0.1)


def test_replicates_that_carry_the_bias_twice_are_moved_back():
    """Their mean is at the observed value, whatever it was."""
    draws = np.array([[0.3, 0.1], [0.31, 0.11], [0.29, 0.09]] * 50)
    found = dose_response([0, 0.1], [0.2, 0.1], draws)
    assert (found.slope_low, found.slope_high) == pytest.approx((-1, -1))


def test_calibrated_conditions_show_no_slope():
    """ECEs of calibrated models differ by their bias alone; 0 stays in the interval."""
    chance = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        bias = np.array([0.03, 0.02, 0.01])  # confidences that spread less and less
        values = bias + chance.normal(0, 0.004, 3)
        draws = values + bias / 2 + chance.normal(0, 0.004, (200, 3))
        found = dose_response([0, 0.1, 0.2], values, draws, bias=bias)
        wrong += not found.slope_low <= 0 <= found.slope_high
        wrong += found.chosen.max() > 0.95
    assert wrong <= 5
