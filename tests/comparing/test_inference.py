"""Intervals, equivalence and many comparisons, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polycal.comparing.inference import (
    Noise,
    band_width,
    distance,
    half_width,
    holm,
    max_t,
    p_above,
    p_two_sided,
)


def test_p_values_are_those_of_scipy_s_t_tests():
    """One sample: two-sided, and one-sided against a bound on either side."""
    values = np.random.default_rng(0).normal(0.2, 1, 25)
    mean, se = values.mean(), values.std(ddof=1) / 5
    noise = Noise(0.0, se, 24)
    own = p_two_sided(mean, noise)
    assert own == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    lower = stats.ttest_1samp(values, -0.5, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.5, alternative="less").pvalue
    assert p_above(mean, noise, -0.5) == pytest.approx(lower)
    assert p_above(-mean, noise, -0.5) == pytest.approx(upper)
    interval = stats.t.interval(0.9, 24, mean, se)
    half = half_width(noise, confidence=0.9)
    assert (mean - half, mean + half) == pytest.approx(interval)


@given(
    st.floats(-0.1, 0.1),
    st.floats(1e-4, 0.1),
    st.floats(0, 0.1),
    st.sampled_from([1, 2, 30]),
)
def test_equivalence_is_an_interval_inside_the_margins(centre, questions, seeds, df):
    """Two one-sided tests at 5 % (Schuirmann 1987) are the interval of 90 %."""
    noise = Noise(questions, seeds, df, seeds / 2, 3 * df)
    half = half_width(noise, confidence=0.9)
    inside = max(abs(centre - half), abs(centre + half)) < 0.03
    both = p_above(np.array([centre, -centre]), noise, -0.03)
    assert (both < 0.05).all() == inside


def test_without_any_error_the_verdict_is_plain():
    """Equal replicates: what was observed is certain."""
    both, none = np.array([0.0, 0.1]), Noise(np.zeros(2))
    assert p_two_sided(both, none) == pytest.approx([1, 0])
    assert p_above(-both, none, -0.05) == pytest.approx([0, 1])


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1 are not below 0.06."""
    found = holm([0.04, 0.01, 0.03, 0.02])
    assert found.p == pytest.approx([0.06, 0.04, 0.06, 0.06])
    # The second step, 0.02 against 0.05 / 3, stops it: all later ones share its level.
    assert found.level == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])
    assert holm([0.01, 0.001], alpha=0.02).level == pytest.approx([0.02, 0.01])
    assert holm([0.9, 0.8]).p.tolist() == [1, 1]
    assert holm([]).p.tolist() == holm([]).level.tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(p_values):
    """The procedure as published: from the smallest up, until one is not rejected."""
    rejected = set()
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] * (len(p_values) - step) >= 0.05:
            break
        rejected.add(int(index))
    found = holm(p_values)
    assert {index for index, p in enumerate(found.p) if p < 0.05} == rejected
    below = [p < level for p, level in zip(p_values, found.level, strict=True)]
    assert {index for index, shown in enumerate(below) if shown} == rejected


def test_the_band_of_one_of_independent_and_of_equal_differences():
    """1.96 for one; Sidak's value for 20 independent ones; 1.96 if all are the same."""
    drawn = np.random.default_rng(0).normal(size=(40_000, 20))
    alike = Noise(np.ones(20))
    one = max_t(drawn[:, :1], Noise(np.ones(1)), confidence=0.95)
    assert one == pytest.approx(1.96, abs=0.03)
    sidak = stats.norm.ppf((1 + 0.95 ** (1 / 20)) / 2)
    assert max_t(drawn, alike, confidence=0.95) == pytest.approx(sidak, abs=0.04)
    same = np.repeat(drawn[:, :1], 20, axis=1) * np.arange(1, 21)
    assert max_t(same, alike, confidence=0.95) == pytest.approx(one)
    # Without any noise in the replicates there is that of one interval.
    still = max_t(np.ones((10, 20)), alike, confidence=0.9)
    assert still == pytest.approx(1.6449, abs=1e-4)


def test_the_band_has_its_own_quantiles_for_noise_of_training():
    """What all share moves together: Student's quantile. What each has: Sidak's."""
    drawn = np.random.default_rng(0).normal(size=(40_000, 20))
    common = Noise(np.full(20, 1e-9), np.ones(20), 4)
    found = max_t(drawn, common, confidence=0.95)
    assert found == pytest.approx(stats.t.ppf(0.975, 4), abs=0.04)
    specific = Noise(np.full(20, 1e-9), 0.0, 1, np.ones(20), 1e6)
    sidak = stats.norm.ppf((1 + 0.95 ** (1 / 20)) / 2)
    assert max_t(drawn, specific, confidence=0.95) == pytest.approx(sidak, abs=0.04)
    few = specific._replace(specific_df=20.0)
    shared = np.sqrt(20 / np.random.default_rng(1).chisquare(20, (40_000, 1)))
    by_hand = np.quantile(abs(drawn * shared).max(axis=1), 0.95)
    assert max_t(drawn, few, confidence=0.95) == pytest.approx(by_hand, abs=0.05)


def test_the_three_kinds_of_noise_add_up():
    """By hand: normal for questions, Student's t with own degrees for either other."""
    noise = Noise(0.2, 0.1, 2, 0.05, 82)
    z, common, specific = 1.959964, 4.302653 * 0.1, 1.989319 * 0.05
    questions = z * 0.2
    for_common = 2 * z**2 * (0.04 + 0.0025) / common**2  # k is 1 + 2 / 2
    k = 1 + 2 / 82
    for_specific = k * z**2 * (0.04 + 0.01) / specific**2
    half = np.sqrt(
        z**2 * (0.04 + 0.01 + 0.0025)
        + (common**2 - (z * 0.1) ** 2) / (1 + for_common**2)
        + (specific**2 - (z * 0.05) ** 2) / (1 + for_specific**k)
    )
    assert half_width(noise, confidence=0.95) == pytest.approx(half)
    assert half < np.sqrt(questions**2 + common**2 + specific**2)
    assert noise.se_seeds == pytest.approx(np.sqrt(0.01 + 0.0025))
    assert noise.se == pytest.approx(np.sqrt(0.04 + 0.01 + 0.0025))
    assert half_width(Noise(0.2), confidence=0.95) == pytest.approx(1.959964 * 0.2)


@pytest.mark.parametrize("level", [0.2, 0.05, 0.01, 1e-4])
@pytest.mark.parametrize("df", [1, 1.6, 2, 4, 8, 30])
def test_two_noises_together_err_as_often_as_stated(level, df):
    """Never more by 0.2 %, and at 5 % not much less.

    A number with an sd of 1 over trainings, which the seeds estimate with so many
    degrees of freedom, and a known noise of questions: over the estimates' distribution
    the rate of errors is that of a normal variable.
    """
    estimates = np.sqrt(stats.chi2.ppf((np.arange(40_000) + 0.5) / 40_000, df) / df)
    wrong = []
    for questions in (0.02, 0.1, 0.3, 0.5, 1, 2, 5, 20):
        half = half_width(Noise(questions, estimates, df), confidence=1 - level)
        wrong.append(2 * stats.norm.sf(half / np.hypot(questions, 1)).mean())
    assert max(wrong) <= 1.002 * level
    if level == 0.05:
        assert min(wrong) > {1: 0.025, 1.6: 0.036}.get(df, 0.04)
    if df == 30:
        assert min(wrong) > 0.95 * level


@pytest.mark.parametrize("few", [(1, 1), (2, 2), (2, 82)])
def test_three_noises_together_err_at_most_as_often_as_stated(few):
    """Two of them estimated; over the estimates' distributions, by their quantiles."""
    chance = (np.arange(400) + 0.5) / 400
    common, specific = (np.sqrt(stats.chi2.ppf(chance, df) / df) for df in few)
    wrong = []
    for questions in (0.1, 1, 3):
        for ratio in (0.1, 0.5, 1, 3):
            parts = np.meshgrid(common, ratio * specific)
            noise = Noise(questions, parts[0], few[0], parts[1], few[1])
            spread = np.hypot(questions, np.hypot(1, ratio))
            half = half_width(noise, confidence=0.95)
            wrong.append(2 * stats.norm.sf(half / spread).mean())
    assert 0.01 < max(wrong) <= 0.0502


@given(
    st.floats(0, 3),
    st.floats(0, 3),
    st.floats(0, 3),
    st.floats(1, 8),
    st.floats(1, 200),
    st.lists(st.floats(1e-6, 0.5), min_size=2, max_size=2),
)
def test_what_is_rarer_is_farther(questions, common, specific, df, many, rare):
    """So a p-value and an interval never disagree."""
    noise = Noise(questions, common, df, specific, many)
    near, far = distance(noise, max(rare)), distance(noise, min(rare))
    assert far >= near * (1 - 1e-9)


@given(
    st.floats(0.001, 0.1),
    st.floats(0, 0.1),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_a_band_is_no_narrower_than_the_interval_of_one(questions, common, df, n):
    """Also with one or two degrees of freedom, whose far tail a few draws miss."""
    replicates = np.random.default_rng(0).normal(size=(200, n))
    noise = Noise(np.full(n, questions), np.full(n, common), df)
    band = band_width(replicates, noise, confidence=0.95)
    assert (band >= half_width(noise, confidence=0.95)).all()
