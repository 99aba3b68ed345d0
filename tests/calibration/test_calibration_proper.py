"""Proper scores and their decomposition against scikit-learn."""

import math

import numpy as np
import pytest
from confidences import drawn_answers, spread
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

from polycal.calibration import brier, brier_top, corp, isotonic, nll, probabilities


def test_sklearn_agrees_on_brier_and_likelihood():
    """Over four classes; scikit-learn needs every class to occur."""
    random = np.random.default_rng(1)
    scores = random.normal(size=(200, 4)) * 3
    gold = random.integers(4, size=200)
    probs = probabilities(scores)
    assert brier(probs, gold) == pytest.approx(
        brier_score_loss(gold, probs, labels=range(4), scale_by_half=False)
    )
    assert nll(scores, gold) == pytest.approx(log_loss(gold, probs))


def test_the_likelihood_of_a_hopeless_answer_is_exact():
    """exp(-800) is zero in float64; its logarithm is not."""
    assert nll([[0.0, -800.0]], [1]) == pytest.approx(800)
    # Nor is that of a question all of whose options are hopeless beside another's.
    assert nll([[0.0, -1.0], [-800.0, -801.0]], [0, 0]) == pytest.approx(
        np.log1p(np.exp(-1))
    )


def test_sklearn_agrees_on_the_score_of_the_chosen_option():
    """Two classes: right and wrong."""
    confidence, correct = spread(500)
    expected = brier_score_loss(correct, confidence)
    assert brier_top(confidence, correct) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 9)), max_size=30))
def test_sklearn_agrees_on_the_isotonic_fit(pairs):
    """Weighted; empty input stays empty."""
    values, weights = np.array(pairs, float).reshape(-1, 2).T
    fitted = isotonic(values, weights)
    assert (np.diff(fitted) >= 0).all()
    if len(values):
        places = np.arange(len(values))
        model = IsotonicRegression().fit(places, values, sample_weight=weights)
        expected = model.predict(places)
        np.testing.assert_allclose(fitted, expected, atol=1e-9)


@given(drawn_answers())
def test_corp_adds_up_to_the_score(pair):
    """MCB - DSC + UNC, with no negative part, equal confidences fitted alike."""
    parts = corp(*pair)
    total = parts.miscalibration - parts.discrimination + parts.uncertainty
    assert total == pytest.approx(brier_top(*pair), abs=1e-12)
    assert min(parts) >= -1e-12
    pair = pair[0].round(6), pair[1]  # it takes nearer ones for equal
    parts = corp(*pair)
    fit = IsotonicRegression().fit(*pair).predict(pair[0])
    expected = ((fit - pair[1]) ** 2).mean()
    recalibrated = brier_top(*pair) - parts.miscalibration
    assert recalibrated == pytest.approx(expected, abs=1e-9)
    assert parts.uncertainty == pytest.approx(pair[1].mean() * (1 - pair[1].mean()))


def test_a_calibrated_step_has_no_miscalibration():
    """0.5 is right half of the time, 1.0 always; by hand DSC is 1/16."""
    parts = corp([0.5, 0.5, 1.0, 1.0], [0, 1, 1, 1])
    assert parts == pytest.approx((0, 3 / 16 - 2 / 16, 3 / 16))


@pytest.mark.filterwarnings("error")
def test_scores_of_no_questions_are_missing():
    """NaN without a warning."""
    assert math.isnan(brier_top([], []))
    assert all(map(math.isnan, corp([], [])))
