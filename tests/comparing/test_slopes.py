"""Meta-regression against a published analysis, and on data that are known."""

import numpy as np
import pytest
from scipy.stats import t

from polycal.comparing.slopes import meta_regression

# 13 trials of the BCG vaccine (Colditz et al. 1994): log risk ratios, their variances,
# latitudes; the mixed-effects model of R's metafor with method="DL" is the oracle.
TRIALS = """
-0.8893 0.3256 44  -1.5854 0.1946 55  -1.3481 0.4154 42  -1.4416 0.0200 52
-0.2175 0.0512 13  -0.7861 0.0069 44  -1.6209 0.2230 19  0.0120 0.0040 13
-0.4694 0.0564 27  -1.3713 0.0730 42  -0.3394 0.0124 18  0.4459 0.5325 33
-0.0173 0.0714 33
"""


def draw(
    n: int, *, slope: float, tau: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects of languages that share half of their sampling error."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 6, n).astype(float)
    covariance = 0.0001 * (np.eye(n) + np.ones((n, n))) / 2
    error = 0.01 * (random.normal(size=n) + random.normal()) / np.sqrt(2)
    return 0.2 + slope * x + tau * random.normal(size=n) + error, covariance, x


def test_it_is_metafor_s_where_errors_are_independent():
    """To the digits that the effects above have."""
    y, variance, x = np.array(TRIALS.split(), float).reshape(-1, 3).T
    found = meta_regression(y, np.diag(variance), x)
    assert found.intercept == pytest.approx(0.2595, abs=5e-4)
    assert found.slope == pytest.approx(-0.0292, abs=5e-5)
    # Its standard error is 0.0067, times Knapp and Hartung's factor, here by hand.
    weights = 1 / (variance + found.tau**2)
    rest = y - found.intercept - found.slope * x
    factor = np.sqrt((weights * rest**2).sum() / 11)
    assert found.se == pytest.approx(0.0067 * factor, abs=6e-5)
    assert factor > 1.1
    assert found.tau**2 == pytest.approx(0.0633, abs=5e-4)
    assert found.p_value == pytest.approx(2 * t.sf(0.0292281 / found.se, 11), rel=1e-3)
    assert found.n_languages == 13


def test_two_values_of_the_predictor_are_enough():
    """By hand: means .2 of four languages and .5 of two, (.5 - .2) / (5 - 3)."""
    y, x = [0.1, 0.3, 0.1, 0.3, 0.5, 0.5], [3, 3, 3, 3, 5, 5]
    found = meta_regression(y, np.eye(6), x)
    assert found.slope == pytest.approx(0.15)
    assert found.intercept == pytest.approx(0.2 - 3 * 0.15)
    assert found.se == pytest.approx(np.sqrt(1 / 4 + 1 / 2) / 2)
    half = t.ppf(0.975, 4) * found.se
    ends = found.ci_low, found.ci_high
    assert ends == pytest.approx((0.15 - half, 0.15 + half))
    assert found.p_value == pytest.approx(2 * t.sf(0.15 / found.se, 4))
    assert (found.tau, found.n_languages) == (0, 6)


def test_more_spread_than_the_model_says_widens_the_interval():
    """By hand: equal variances and tau leave residuals over variance as the factor."""
    y = np.array([0.1, 0.3, 0.1, 0.3, 0.9, 0.1])
    x = np.array([3, 3, 3, 3, 5, 5.0])
    found = meta_regression(y, 0.01 * np.eye(6), x)
    rest = ((y - [0.2, 0.2, 0.2, 0.2, 0.5, 0.5]) ** 2).sum() / 4
    assert found.tau**2 == pytest.approx(rest - 0.01)
    assert found.se == pytest.approx(np.sqrt(rest * (1 / 4 + 1 / 2)) / 2)


@pytest.mark.parametrize("n", [6, 12, 29])
def test_few_languages_do_not_make_false_findings(n):
    """18 % with 4 languages and 13 % with 6 were found where there is no slope."""
    p_values = [
        meta_regression(*draw(n, slope=0.0, tau=0.02, seed=seed)).p_value
        for seed in range(400)
    ]
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.085


def test_shared_errors_do_not_blur_a_slope():
    """What all have in common moves the intercept; not knowing it costs precision."""
    y, covariance, x = draw(40, slope=-0.01, tau=0.0, seed=0)
    found = meta_regression(y, covariance, x)
    blind = meta_regression(y, np.diag(np.diag(covariance)), x)
    assert found.se < 0.75 * blind.se
    assert found.ci_low < -0.01 < found.ci_high


def test_the_interval_covers_and_tau_is_found():
    """Of 200 draws about 95 % cover the slope; tau is right in the mean."""
    found = [
        meta_regression(*draw(40, slope=-0.01, tau=0.02, seed=seed))
        for seed in range(200)
    ]
    covered = np.mean([each.ci_low < -0.01 < each.ci_high for each in found])
    assert 0.90 <= covered <= 0.99
    assert np.mean([each.tau**2 for each in found]) == pytest.approx(0.02**2, rel=0.1)


def test_without_a_slope_p_values_are_uniform():
    """About one in twenty is below .05."""
    p_values = [
        meta_regression(*draw(30, slope=0.0, tau=0.02, seed=seed)).p_value
        for seed in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.11


@pytest.mark.parametrize(
    ("effects", "covariance", "predictor", "match"),
    [
        (range(5), np.eye(5), range(5), "needs 6 of them"),
        (range(6), np.eye(6), [1] * 6, "two values"),
        (range(6), np.ones((6, 6)), range(6), "more replicates"),
        (range(6), np.eye(2), range(6), "no inverse"),
    ],
)
def test_what_has_no_slope_is_refused(effects, covariance, predictor, match):
    with pytest.raises(ValueError, match=match):
        meta_regression(effects, covariance, predictor)
