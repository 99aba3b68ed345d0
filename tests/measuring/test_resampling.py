"""Replicates are exact, paired between files, and their intervals cover the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polycal import calibration
from polycal.calibration import answer
from polycal.measuring.biases import bound_bias
from polycal.measuring.intervals import spread
from polycal.measuring.resampling import (
    NULL_DRAWS,
    REPLICATED,
    Resampler,
    Sample,
    null_test,
    null_uniforms,
    question_weights,
    replicate,
)

IDS = [f"subject/test/{number}" for number in range(400)]


def make(noise: np.random.Generator, n: int, options: int = 4, *, trust: float = 1.5):
    """Answers that are right about as often as they claim to be."""
    scores = noise.normal(size=(n, options)) * trust
    probs = calibration.probabilities(scores)
    gold = (noise.random((n, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    return answer(scores, np.minimum(gold, options - 1))


def test_weights_are_poisson_of_mean_one():
    """Frequencies of 0, 1, 2, 3 within 4 standard errors; questions are not alike."""
    weights = question_weights("t", IDS, replicates=1000, seed=0)
    n = weights.size
    for count in range(4):
        expected = math.exp(-1) / math.factorial(count)
        error = math.sqrt(expected * (1 - expected) / n)
        assert (weights == count).mean() == pytest.approx(expected, abs=4 * error)
    assert weights.max() >= 6
    correlation = np.corrcoef(weights.T)[np.triu_indices(len(IDS), 1)]
    assert correlation.std() == pytest.approx(1 / math.sqrt(1000), rel=0.05)


def test_a_question_has_its_weights_whatever_the_others_are():
    """So that files measured apart are paired; another task or seed gives others."""
    whole = question_weights("t", IDS, replicates=50, seed=0)
    part = question_weights("t", [IDS[7], IDS[3]], replicates=50, seed=0)
    assert np.array_equal(part, whole[:, [7, 3]])
    assert np.array_equal(
        part[:20], question_weights("t", IDS, replicates=20, seed=0)[:, [7, 3]]
    )
    for task, seed in (("u", 0), ("t", 1)):
        other = question_weights(task, IDS, replicates=50, seed=seed)
        assert not np.array_equal(other, whole)


def test_the_weights_never_change():
    """Studies that were measured earlier stay paired with later ones."""
    weights = question_weights("global_mmlu", ["a/test/0"], replicates=12, seed=0)
    assert weights[:, 0].tolist() == [2, 0, 3, 1, 3, 1, 1, 1, 0, 1, 0, 0]


def test_the_lots_of_a_calibrated_model_never_change():
    """Nor do they depend on the other questions; another seed or task gives others."""
    lots = null_uniforms("global_mmlu", ["b", "a/test/0"], seed=0)
    first = [10678288, 2811157, 7850275, 8667205, 11453365]  # in units of 2^-24
    assert (lots[:5, 1] * 2**24).tolist() == first
    for task, seed in (("global_mmlu", 1), ("mmlu_prox", 0)):
        others = null_uniforms(task, ["b", "a/test/0"], seed=seed)
        assert (others[:, 1] != lots[:, 1]).any()


@settings(max_examples=40)  # each computes all metrics of 5 replicates
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 10))
def test_replicates_are_the_metrics_of_repeated_questions(seed, n, options):
    """Matrix products equal np.repeat and the metrics' own code; some rows missing."""
    noise = np.random.default_rng(seed)
    weights = noise.poisson(1.0, (5, n)).astype(np.float32)
    places = np.sort(noise.permutation(n)[: noise.integers(1, n + 1)])
    given_ = make(noise, len(places), options)
    found = replicate(weights, [Sample(places, given_), Sample(places, given_)])
    for draw, row in enumerate(weights[:, places].astype(int)):
        row = row if row.any() else np.ones_like(row)
        again = answer(np.repeat(given_.scores, row, 0), np.repeat(given_.gold, row))
        expected = calibration.all_metrics(again.scores, again.gold)
        for name in REPLICATED:
            values = found[name][draw]
            if calibration.METRICS[name].first_order:
                continue
            assert values == pytest.approx([expected[name]] * 2, abs=2e-6), name


def test_the_expected_ece_of_a_calibrated_model():
    """The mean of the test's draws is that of drawing answers with NumPy's own."""
    noise = np.random.default_rng(0)
    given_ = make(noise, 400)
    sample = Sample(np.arange(400), given_)
    found = null_test(null_uniforms("t", IDS, seed=0), sample)
    confidence = given_.top.confidence
    draws = noise.random((2000, 400)) < confidence
    expected = [calibration.ece(confidence, draw) for draw in draws]
    error = np.std(expected) / math.sqrt(NULL_DRAWS)
    assert found["ece"].mean == pytest.approx(np.mean(expected), abs=4 * error)
    assert found["gap"].mean == 0
    over = answer(given_.scores * 3, given_.gold)
    found = null_test(null_uniforms("t", IDS, seed=0), Sample(np.arange(400), over))
    assert {each.p for each in found.values()} == {1 / (NULL_DRAWS + 1)}


def test_the_consistency_test_keeps_its_level():
    """Of calibrated models, 5 % have a p-value below 0.05, and p is uniform."""
    noise = np.random.default_rng(0)
    uniforms = null_uniforms("t", IDS, seed=0)
    values = [
        null_test(uniforms, Sample(np.arange(400), make(noise, 400)))
        for _ in range(300)
    ]
    for name in ("ece", "gap"):
        p = np.array([each[name].p for each in values])
        assert (p < 0.05).mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
        error = math.sqrt((1 / 300 + 1 / NULL_DRAWS) / 12)  # all share the draws
        assert p.mean() == pytest.approx(0.5, abs=3 * error)


def test_no_error_at_all_is_what_a_calibrated_model_shows():
    """Sure and right in every question: each draw is as far from 0 as what is seen."""
    given = answer(np.array([[0.0, -1000.0]] * 9), [0] * 9)
    found = null_test(null_uniforms("t", IDS[:9], seed=0), Sample(np.arange(9), given))
    assert {name: (own.mean, own.p) for name, own in found.items()} == {
        "ece": (0.0, 1.0),
        "gap": (0.0, 1.0),
    }


def test_a_resampler_gives_the_interval_of_an_ece_a_bound_on_its_bias():
    """By its own gap; the interval of a gap holds the percentiles."""
    given = make(np.random.default_rng(0), 400)
    resampler = Resampler("t", IDS, replicates=50, seed=0, confidence=0.9)
    (row,) = resampler.uncertainty([resampler.sample(IDS, given)], ["ece", "gap"])
    confidence, correct = given.top
    observed = np.array([calibration.ece(confidence, correct)])
    gap, se = np.mean(confidence - correct), row["gap"]["replicates"].std(ddof=1)
    bias = bound_bias(observed, row["ece"]["null_mean"], np.array([gap]), se)
    assert 0 < bias < row["ece"]["null_mean"]
    for name, biased in (("ece", {"observed": observed, "bias": bias}), ("gap", {})):
        drawn = row[name]["replicates"][:, None]
        expected = np.ravel(spread(drawn, confidence=0.9, **biased))
        found = [row[name][column] for column in ("se", "ci_low", "ci_high")]
        assert found == pytest.approx(expected)


def test_a_resampler_draws_with_the_study_s_seed():
    """Weights and calibrated answers; another seed gives others."""
    given = make(np.random.default_rng(0), 400)
    means = []
    for seed in (3, 4):
        resampler = Resampler("t", IDS, replicates=5, seed=seed, confidence=0.9)
        sample = resampler.sample(IDS, given)
        names = sorted(IDS)
        weights = question_weights("t", names, replicates=5, seed=seed)
        assert np.array_equal(resampler.weights, weights)
        (row,) = resampler.uncertainty([sample], ["ece", "gap"])
        expected = null_test(null_uniforms("t", names, seed=seed), sample)["ece"]
        assert (row["ece"]["null_mean"], row["ece"]["null_p"]) == expected
        means.append(expected.mean)
    assert means[0] != means[1]


def test_nominal_intervals_cover_the_truth():
    """95 % intervals of accuracy, confidence, gap, Brier and NLL: 92 to 97 %.

    400 experiments of 400 questions, all of one population of half a million.
    """
    noise = np.random.default_rng(1)
    population = make(noise, 500_000, trust=1.5)
    population = answer(population.scores * 1.4, population.gold)
    truth = {
        "accuracy": population.top.correct.mean(),
        "confidence": population.top.confidence.mean(),
        "gap": calibration.overconfidence(*population.top),
        "brier": calibration.brier(population.probs, population.gold),
        "nll": calibration.nll(population.scores, population.gold),
    }
    weights = question_weights("t", IDS, replicates=400, seed=0)
    hits = dict.fromkeys(truth, 0)
    samples = []
    for _ in range(400):
        rows = noise.integers(0, len(population.gold), 400)
        drawn = answer(population.scores[rows], population.gold[rows])
        samples.append(Sample(np.arange(400), drawn))
    found = replicate(weights, samples, list(truth))
    for name, value in truth.items():
        for column in found[name].T:
            low, high = spread(column, confidence=0.95)[1:]
            hits[name] += low <= value <= high
    covered = {name: n / 400 for name, n in hits.items()}
    assert all(0.92 <= share <= 0.97 for share in covered.values()), covered


def test_the_interval_of_an_ece_reaches_down_by_its_bias():
    """By hand, on four replicates, and cut off at 0."""
    values = np.array([0.1, 0.2, 0.3, 0.4])
    low, high = spread(values, confidence=1.0, observed=0.4, bias=0.1)[1:]
    assert (low, high) == pytest.approx((0.4 - 0.1 - 0.15, 0.4 + 0.15))
    assert spread(values, confidence=1.0, observed=0.2, bias=0.1).low == 0
    assert spread(values, confidence=1.0).low == pytest.approx(0.1)


def test_means_over_languages_keep_the_correlation_of_translations():
    """Two languages with the same answers are as uncertain as one, not less."""
    noise = np.random.default_rng(0)
    resampler = Resampler("t", IDS, replicates=500, seed=0, confidence=0.95)
    same = make(noise, 400)
    samples = [resampler.sample(IDS, same), resampler.sample(IDS, same)]
    one, two = resampler.uncertainty(samples)
    both = (one["gap"]["replicates"] + two["gap"]["replicates"]) / 2
    assert both.std(ddof=1) == pytest.approx(one["gap"]["se"], rel=1e-6)
    backwards = resampler.uncertainty(
        [resampler.sample(IDS[::-1], answer(same.scores[::-1], same.gold[::-1]))]
    )
    assert backwards[0]["ece"]["replicates"] == pytest.approx(
        one["ece"]["replicates"], abs=1e-6
    )


def test_a_skewed_interval_of_an_ece_is_reflected():
    """A long tail above the mean of the replicates reaches below the observed value.

    Quantiles .1 and .8 around the mean .35: .5 - .02 - (.8 - .35) to .5 + (.35 - .1).
    """
    values = np.array([0.1, 0.2, 0.3, 0.8])
    low, high = spread(values, confidence=1.0, observed=0.5, bias=0.02)[1:]
    assert (low, high) == pytest.approx((0.03, 0.75))
