"""Intervals, equivalence and many comparisons, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polycal.comparing.inference import (
    Noise,
    band_width,
    differences,
    half_width,
    holm,
    max_t,
    p_above,
    p_equivalence,
    p_two_sided,
)


def test_p_values_are_those_of_scipy_s_t_tests():
    """One sample: two-sided, one-sided against a bound, and both for equivalence."""
    values = np.random.default_rng(0).normal(0.2, 1, 25)
    mean, se = values.mean(), values.std(ddof=1) / 5
    noise = Noise(0.0, se, 24)
    own = p_two_sided(mean, noise)
    assert own == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    lower = stats.ttest_1samp(values, -0.5, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.5, alternative="less").pvalue
    assert p_above(mean, noise, -0.5) == pytest.approx(lower)
    assert p_equivalence(mean, mean, noise, 0.5) == pytest.approx(max(lower, upper))
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
    """Two one-sided tests at 5 % are the interval of 90 %."""
    noise = Noise(questions, seeds, df)
    half = half_width(noise, confidence=0.9)
    inside = max(abs(centre - half), abs(centre + half)) < 0.03
    assert (p_equivalence(centre, centre, noise, 0.03) < 0.05) == inside


def test_without_any_error_the_verdict_is_plain():
    """Equal replicates: what was observed is certain."""
    both, none = np.array([0.0, 0.1]), Noise(np.zeros(2), np.zeros(2), 1)
    assert p_two_sided(both, none) == pytest.approx([1, 0])
    assert p_equivalence(both, both, none, 0.05) == pytest.approx([0, 1])


def test_a_bias_that_is_not_known_makes_equivalence_harder():
    """From 0 to 0.04 is not inside 0.03, however small the error."""
    noise = Noise(1e-6, 0.0, 1)
    assert p_equivalence(0.0, 0.02, noise, 0.03) == pytest.approx(0)
    assert p_equivalence(0.0, 0.04, noise, 0.03) == pytest.approx(1)


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1 are not below 0.06."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(p_values):
    """The procedure as published: from the smallest up, until one is not rejected."""
    rejected = set()
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] * (len(p_values) - step) >= 0.05:
            break
        rejected.add(int(index))
    found = holm(p_values)
    assert {index for index, p in enumerate(found) if p < 0.05} == rejected


def test_the_band_of_one_of_independent_and_of_equal_differences():
    """1.96 for one; Sidak's value for 20 independent ones; 1.96 if all are the same."""
    noise = np.random.default_rng(0).normal(size=(40_000, 20))
    one = max_t(noise[:, :1], confidence=0.95)
    assert one == pytest.approx(1.96, abs=0.03)
    sidak = stats.norm.ppf((1 + 0.95 ** (1 / 20)) / 2)
    assert max_t(noise, confidence=0.95) == pytest.approx(sidak, abs=0.04)
    same = np.repeat(noise[:, :1], 20, axis=1) * np.arange(1, 21)
    assert max_t(same, confidence=0.95) == pytest.approx(one)
    assert max_t(np.ones((10, 2)), confidence=0.95) == 0


def test_questions_and_seeds_add_up():
    """By hand: the errors of three seeds' mean and of the replicates."""
    replicates = np.array([[0.0], [0.2], [0.4]])
    seeds = np.array([[0.1], [0.2], [0.3]])
    found = differences(seeds, replicates)
    assert found.estimate == pytest.approx([0.2])
    assert found.sd_seeds == pytest.approx([0.1])
    assert found.noise.questions == pytest.approx([0.2])
    assert found.noise.training == pytest.approx([0.1 / np.sqrt(3)])
    assert found.noise.df == 2
    half = np.sqrt((1.959964 * 0.2) ** 2 + 4.302653**2 * 0.01 / 3)
    assert half_width(found.noise, confidence=0.95) == pytest.approx([half])
    alone = differences(seeds[:1], replicates)
    assert half_width(alone.noise, confidence=0.95) == pytest.approx([1.959964 * 0.2])
    assert np.isnan(alone.sd_seeds).all()


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
@pytest.mark.parametrize("training", [0.0, 0.3, 1.0, 5.0])
def test_intervals_hold_the_truth_whatever_is_noisier(n_seeds, training):
    """Nominally 95 %, with training noise from none to five times the questions'."""
    chance = np.random.default_rng(n_seeds)
    trials = 4000
    spread = training * chance.normal(size=(n_seeds, trials))
    seeds = chance.normal(size=trials) + spread
    noise = differences(seeds, np.array([[-1.0], [1.0], [0.0]]) * np.ones(trials)).noise
    held = abs(seeds.mean(axis=0)) < half_width(noise, confidence=0.95)
    assert 0.94 < held.mean() < 0.999


@pytest.mark.parametrize("n_seeds", [1, 2, 3])
def test_a_band_is_rarely_left_by_any_language(n_seeds):
    """Nothing is true of five languages; the band leaves out a 0 in about 5 %."""
    chance = np.random.default_rng(n_seeds)
    wrong, trials = 0, 400
    for _ in range(trials):
        question = chance.normal(0, 0.01, 5)
        training = chance.normal(0, 0.01 * (n_seeds > 1), (n_seeds, 5))
        replicates = chance.normal(0, 0.01, (300, 5))
        found = differences(question + training, replicates)
        band = band_width(replicates, found.noise, confidence=0.95)
        assert (band > half_width(found.noise, confidence=0.95)).all()
        wrong += (abs(found.estimate) > band).any()
    assert wrong / trials < 0.08
