"""Probabilities, choices, ties and chance."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from polycal.calibration import (
    above_chance,
    answer,
    brier,
    chance,
    ece,
    ece_all,
    ece_mass,
    letter_shares,
    nll,
    probabilities,
    rms_ce,
    tie_credit,
    tie_rate,
    top_label,
)


@given(
    arrays.arrays(
        np.float64, (5, 4), elements=st.floats(-80, 0, allow_subnormal=False)
    ),
    st.floats(-1e3, 1e3),
)
def test_probabilities_are_a_softmax(scores, shift):
    """They sum to one, ignore a shift, and are the normalised inverse perplexity."""
    probs = probabilities(scores)
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities(scores + shift), probs, atol=1e-12)
    inverse = 1 / np.exp(-scores)
    np.testing.assert_allclose(
        probs, inverse / inverse.sum(axis=1, keepdims=True), atol=1e-12
    )


def test_a_missing_option_is_as_if_it_were_not_there():
    """-inf at the end changes no probability, no Brier score and no likelihood."""
    scores = np.array([[-1.0, -2.0, -0.5], [-3.0, -0.1, -4.0]])
    padded = np.hstack([scores, np.full((2, 2), -np.inf)])
    gold = [2, 0]
    np.testing.assert_array_equal(probabilities(padded)[:, :3], probabilities(scores))
    assert brier(probabilities(padded), gold) == brier(probabilities(scores), gold)
    assert nll(padded, gold) == pytest.approx(nll(scores, gold))
    assert chance(padded) == pytest.approx(1 / 3)


def test_scores_without_an_answer_are_refused():
    """NaN, a question of which all options are missing, and a missing right one."""
    with pytest.raises(ValueError, match="finite best score"):
        probabilities([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="finite best score"):
        probabilities([[0.0, 1.0], [-np.inf, -np.inf]])
    with pytest.raises(ValueError, match="right option has no score"):
        answer([[0.0, -np.inf]], [1])
    for gold in ([2], [-1]):
        with pytest.raises(ValueError, match="not one of 2"):
            answer([[0.0, 1.0]], gold)
    with pytest.raises(ValueError, match="as many answers"):
        answer([[0.0, 1.0]], [0, 1])


def test_the_first_of_equal_options_is_the_answer():
    """As in the harness: ties go to the lowest index."""
    top = top_label([[0.4, 0.4, 0.2], [0.1, 0.45, 0.45]], [1, 1])
    assert top.correct.tolist() == [0, 1]
    assert top.confidence.tolist() == [0.4, 0.45]


def test_tied_options_share_the_credit():
    """By hand: half for one of two, a third for one of three, nothing for the rest."""
    probs = [[0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3], [0.4, 0.4, 0.2], [0.2, 0.5, 0.3]]
    credit = tie_credit(probs, [1, 0, 2, 1])
    np.testing.assert_allclose(credit, [1 / 2, 1 / 3, 0, 1])
    assert tie_rate(probs) == 3 / 4


@given(st.lists(st.integers(1, 2), min_size=2, max_size=4), st.integers(0, 3))
def test_credit_is_what_a_choice_by_lot_expects(weights, gold):
    """The mean correctness of the first best option over all orders of the options."""
    gold %= len(weights)
    probs = np.array(weights) / sum(weights)
    orders = np.array(list(itertools.permutations(range(len(weights)))))
    chosen = [order[probs[order].argmax()] for order in orders]
    expected = np.mean(np.array(chosen) == gold)
    assert tie_credit(probs[None], [gold])[0] == pytest.approx(expected)


def test_a_probability_does_not_exceed_one():
    """Softmaxes may round up; the confidence that leaves here is in its range."""
    assert top_label([[1 + 2e-16, 0.0]], [0]).confidence[0] <= 1
    assert top_label([[np.nextafter(1, 2), 0.0]], [0]).confidence[0] == 1


def test_letter_shares_count_the_answers():
    """Two As, one C, of a table with four places."""
    probs = [[0.7, 0.1, 0.1, 0.1], [0.4, 0.2, 0.4, 0.0], [0.1, 0.1, 0.8, 0.0]]
    assert letter_shares(probs).tolist() == pytest.approx([2 / 3, 0, 1 / 3, 0])


def test_chance_and_what_is_above_it():
    """Guessing is 0, knowing all is 1; one option leaves nothing to guess."""
    scores = [[0.0, 0.0, -np.inf, -np.inf], [0.0, 0.0, 0.0, 0.0]]
    assert chance(scores) == (1 / 2 + 1 / 4) / 2
    assert above_chance(0.25, 0.25) == 0
    assert above_chance(1, 0.25) == 1
    assert above_chance(0.1, 0.25) == pytest.approx(-0.2)
    assert np.isnan(above_chance(1, 1))


def test_an_answer_holds_its_confidence_and_whether_it_is_right():
    """By hand: softmaxes of (ln 3, 0) and (0, ln 4), the second option right."""
    given_ = answer(np.log([[3.0, 1.0], [1.0, 4.0]]), [1, 1])
    np.testing.assert_allclose(given_.top.confidence, [0.75, 0.8])
    assert given_.top.correct.tolist() == [0, 1]
    assert given_.ties.correct.tolist() == [0, 1]


def test_single_precision_is_left_behind_at_once():
    """Stored scores are float32; every number is computed as if they were float64."""
    random = np.random.default_rng(0)
    scores = (random.normal(size=(50, 4)) * 2).astype(np.float32)
    gold = random.integers(4, size=50)
    probs = probabilities(scores).astype(np.float32)
    wide = scores.astype(np.float64), probs.astype(np.float64)
    np.testing.assert_array_equal(probabilities(scores), probabilities(wide[0]))
    assert answer(scores, gold).scores.dtype == np.float64
    assert top_label(probs, gold).confidence.dtype == np.float64
    assert nll(scores, gold) == nll(wide[0], gold)
    for metric in (brier, ece_all):
        assert metric(probs, gold) == metric(wide[1], gold)


def test_the_right_option_may_come_as_a_float():
    """As pandas has a column that once lacked a number."""
    gold, scores = np.array([1.0, 0.0]), np.log([[0.75, 0.25], [0.5, 0.5]])
    probs = np.exp(scores)
    assert answer(scores, gold).gold.dtype == np.int64
    assert tie_credit(probs, gold).tolist() == [0, 0.5]
    assert brier(probs, gold) == pytest.approx((2 * 0.75**2 + 2 * 0.5**2) / 2)
    assert nll(scores, gold) == pytest.approx((np.log(4) + np.log(2)) / 2)
    assert ece_all(probs, gold, n_bins=1) == pytest.approx(0)


@pytest.mark.filterwarnings("error")
def test_shares_of_no_questions_are_missing():
    """NaN without a warning."""
    assert np.isnan(tie_rate(np.zeros((0, 4))))
    assert np.isnan(chance(np.zeros((0, 4))))


@pytest.mark.parametrize("gold", [[9, 0], [-1, 0], [1]])
def test_an_answer_needs_a_right_option_that_exists(gold):
    """No gold 9 of 2 options, and none that is broadcast."""
    with pytest.raises(ValueError, match=r"right option|as many answers"):
        top_label([[0.6, 0.4], [0.3, 0.7]], gold)


def test_questions_need_a_bin():
    """An ECE of 0 bins is no number."""
    for metric in (ece, ece_mass, rms_ce):
        with pytest.raises(ValueError, match="0 bins hold no question"):
            metric([0.6, 0.4], [1, 0], n_bins=0)
