"""Meta-regression against a published analysis, and on data that are known."""

import numpy as np
import pytest
from scipy.stats import norm

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
    error = random.multivariate_normal(np.zeros(n), covariance)
    return 0.2 + slope * x + tau * random.normal(size=n) + error, covariance, x


def test_it_is_metafor_s_where_errors_are_independent():
    """To the digits that the effects above have."""
    y, variance, x = np.array(TRIALS.split(), float).reshape(-1, 3).T
    found = meta_regression(y, np.diag(variance), x)
    assert found.intercept == pytest.approx(0.2595, abs=5e-4)
    assert found.slope == pytest.approx(-0.0292, abs=5e-5)
    assert found.se == pytest.approx(0.0067, abs=5e-5)
    assert found.tau**2 == pytest.approx(0.0633, abs=5e-4)
    assert found.p_value < 1e-4
    assert found.n_languages == 13


def test_two_values_of_the_predictor_are_enough():
    """By hand: means .2 of two languages and .5 of the third, (.5 - .2) / (5 - 3)."""
    found = meta_regression([0.1, 0.3, 0.5], np.eye(3), [3, 3, 5])
    assert found.slope == pytest.approx(0.15)
    assert found.intercept == pytest.approx(0.2 - 3 * 0.15)
    assert found.se == pytest.approx(np.sqrt(1 / 2 + 1) / 2)
    half = 1.959964 * found.se
    ends = found.ci_low, found.ci_high
    assert ends == pytest.approx((0.15 - half, 0.15 + half))
    assert found.p_value == pytest.approx(2 * norm.sf(0.15 / found.se))
    assert (found.tau, found.n_languages) == (0, 3)


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
        ([1, 2], np.eye(2), [0, 1], "three languages"),
        ([1, 2, 3], np.eye(3), [1, 1, 1], "two values"),
        ([1, 2, 3], np.ones((3, 3)), [0, 1, 2], "more replicates"),
        ([1, 2, 3], np.eye(2), [0, 1, 2], "no inverse"),
    ],
)
def test_what_has_no_slope_is_refused(effects, covariance, predictor, match):
    with pytest.raises(ValueError, match=match):
        meta_regression(effects, covariance, predictor)
