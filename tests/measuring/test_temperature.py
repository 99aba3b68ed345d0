"""Temperatures against SciPy, scikit-learn, and data whose temperature is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import _TemperatureScaling

from polycal.calibration import nll, probabilities, top_label
from polycal.measuring.temperature import (
    HIGHEST,
    LOWEST,
    FoldedScores,
    cross_fit,
    fit_temperature,
    folds,
    is_at_limit,
    rescale,
)


def draw(n: int, *, temperature: float, seed: int = 0, k: int = 4) -> tuple:
    """Scores that are too sharp by the factor T, and ragged where there are many."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(n, k)) * 1.5
    if k > 4:
        honest[np.arange(k) >= random.integers(4, k + 1, n)[:, None]] = -np.inf
    probs = probabilities(honest)
    gold = (random.uniform(size=(n, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    return honest * temperature, gold


def language(n: int = 600, **how: object) -> FoldedScores:
    scores, gold = draw(n, **how)
    split = folds(map(str, range(n)))
    return FoldedScores(
        scores, gold, np.array([split[str(index)] for index in range(n)])
    )


@pytest.mark.parametrize("k", [4, 10])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_scipy_finds_the_same_minimum(temperature, k):
    """Options that are missing take no part."""
    scores, gold = draw(900, temperature=temperature, k=k)
    best = minimize_scalar(
        lambda place: nll(scores * np.exp(place), gold),
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert np.log(fit_temperature(scores, gold)) == pytest.approx(-best.x, abs=1e-6)


def test_sklearn_finds_the_same_temperature():
    """Its inverse temperature, with every class present."""
    scores, gold = draw(900, temperature=2.0)
    theirs = _TemperatureScaling().fit(scores, gold).beta_
    assert 1 / fit_temperature(scores, gold) == pytest.approx(theirs, abs=1e-6)


def test_the_temperature_of_the_data_is_recovered():
    """Within three standard errors of about 0.006."""
    scores, gold = draw(20_000, temperature=2.5)
    assert np.log(fit_temperature(scores, gold)) == pytest.approx(np.log(2.5), abs=0.02)


@settings(max_examples=40)
@given(st.integers(1, 40), st.sampled_from([0.01, 1, 100]), st.integers(0, 999))
def test_no_other_temperature_is_better(n, scale, seed):
    """Whatever the data, and within its bounds."""
    random = np.random.default_rng(seed)
    scores, gold = random.normal(size=(n, 3)) * scale, random.integers(3, size=n)
    fitted = fit_temperature(scores, gold)
    assert LOWEST <= fitted <= HIGHEST
    least = nll(scores / fitted, gold)
    for other in (LOWEST, fitted * 0.9, fitted * 1.1, HIGHEST):
        other = np.clip(other, LOWEST, HIGHEST)
        assert nll(scores / other, gold) >= least - 1e-9


def test_data_without_a_minimum_end_at_the_bounds():
    """All right, all wrong, nothing to tell apart, nothing at all."""
    scores = np.array([[2.0, 0.0], [1.0, 0.0]])
    assert fit_temperature(scores, [0, 0]) == LOWEST
    assert fit_temperature(1000 * scores, [0, 0]) == LOWEST  # though the slope is 0
    assert fit_temperature(scores, [1, 1]) == pytest.approx(HIGHEST)
    assert fit_temperature(np.zeros((5, 3)), np.zeros(5, int)) == 1
    assert fit_temperature(np.zeros((0, 0)), []) == 1


def test_scaling_changes_no_answer():
    """Confidence changes, correctness does not."""
    each = language(temperature=3.0)
    scaled = rescale(each, np.array([2.0, 3.0]))
    before = top_label(probabilities(each.scores), each.gold)
    after = top_label(probabilities(scaled), each.gold)
    np.testing.assert_array_equal(before.correct, after.correct)
    assert after.confidence.mean() < before.confidence.mean()
    np.testing.assert_allclose(scaled[each.fold == 1] * 3, each.scores[each.fold == 1])


def test_folds_are_halves_that_do_not_depend_on_the_order():
    """And not on which languages have which question."""
    names = [f"q{index}" for index in range(101)]
    split = folds(names)
    assert split == folds(reversed(names * 2))
    assert sorted(np.bincount(list(split.values()))) == [50, 51]
    # By lot, in the order of their BLAKE2b digests, and always the same.
    assert folds("abcdef") == {"d": 0, "a": 1, "c": 0, "b": 1, "f": 0, "e": 1}


@pytest.mark.parametrize("count", [2, 5])
def test_each_calibrator_is_fitted_where_it_says(count):
    """Against fits on the rows themselves, on the other fold."""
    languages = {
        code: language(300 + 40 * index, temperature=0.3 * 2.5**index, seed=index)
        for index, code in enumerate(["en", "de", "sw", "yo", "zh"][:count])
    }
    found = cross_fit(languages)
    assert list(found) == ["ts_en", "ts_own", "ts_pool", "ts_loo"]

    def fit(codes: list[str], fold: int) -> float:
        parts = [languages[code] for code in codes]
        held = [part.fold != fold for part in parts]
        return fit_temperature(
            np.concatenate([p.scores[h] for p, h in zip(parts, held, strict=True)]),
            np.concatenate([p.gold[h] for p, h in zip(parts, held, strict=True)]),
        )

    everything = list(languages)
    for code in languages:
        others = [each for each in everything if each != code]
        for fold in (0, 1):
            for name, codes in (
                ("ts_en", ["en"]),
                ("ts_own", [code]),
                ("ts_pool", everything),
                ("ts_loo", others),
            ):
                expected = fit(codes, fold)
                assert found[name][code][fold] == pytest.approx(expected, rel=1e-6)


def test_a_fold_is_scaled_by_what_was_fitted_without_it():
    """Other answers to its questions, in all languages, do not change its T."""
    languages = {
        code: language(temperature=2.0, seed=seed) for seed, code in enumerate("ab")
    }
    before = cross_fit(languages)
    turned = {
        code: each._replace(gold=np.where(each.fold == 0, 0, each.gold))
        for code, each in languages.items()
    }
    after = cross_fit(turned)
    for name in ("ts_own", "ts_pool", "ts_loo"):
        for code in languages:
            assert before[name][code][0] == after[name][code][0]
            assert before[name][code][1] != after[name][code][1]


def test_what_a_study_lacks_is_not_made_up():
    """No English, no ts_en; one language, nothing to leave out."""
    assert list(cross_fit({"de": language(temperature=2.0)})) == ["ts_own", "ts_pool"]
    alike = language(temperature=2.0)
    found = cross_fit({"de": alike, "fr": alike})
    assert found["ts_loo"]["de"] == pytest.approx(found["ts_own"]["de"])


def test_a_fit_that_ends_at_a_limit_is_known():
    """All right, or worse than nothing; not a fit between."""
    scores = np.array([[0.0, -1.0, -2.0]] * 6)
    fitted = [fit_temperature(scores, [gold] * 6) for gold in (0, 2)]
    assert is_at_limit(fitted).tolist() == [True, True]
    assert not is_at_limit([1.0, 99.0, 0.011]).any()
