"""Metrics against hand-worked cases, independent libraries and their own identities."""

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import binary_calibration_error

from polycal import calibration
from polycal.calibration import (
    brier,
    ece,
    nll,
    overconfidence,
    probabilities,
    reliability_bins,
    rms_ce,
    top_label,
)


def draw(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences that lie on no edge, and answers that are over-confident."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.25, 1, n).astype(np.float32).astype(float)
    correct = (random.uniform(size=n) < confidence - 0.1).astype(float)
    return confidence, correct


def answers() -> st.SearchStrategy:
    """Any confidences, edges and ties included, with any answers."""
    unit = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1 / 3, 0.6, 0.8])
    pairs = st.lists(st.tuples(unit, st.booleans()), min_size=1, max_size=60)
    return pairs.map(lambda drawn: tuple(np.array(drawn, float).T))


def test_the_docstring_examples_are_true():
    """What the documentation shows is what a user gets."""
    result = doctest.testmod(calibration)
    assert result.attempted > 0
    assert result.failed == 0


def test_ece_and_rms_of_a_hand_worked_case():
    """Two bins: 3 at .95 with 1 right (gap .6167), 1 at .55 and right (gap -.45)."""
    confidence, correct = [0.95, 0.95, 0.95, 0.55], [1, 0, 0, 1]
    first, second = 0.95 - 1 / 3, 0.55 - 1
    assert ece(confidence, correct) == pytest.approx(0.75 * first - 0.25 * second)
    assert rms_ce(confidence, correct) == pytest.approx(
        math.sqrt(0.75 * first**2 + 0.25 * second**2)
    )
    assert overconfidence(confidence, correct) == pytest.approx(0.85 - 0.5)


@pytest.mark.parametrize("n_bins", [10, 15, 20])
def test_torchmetrics_agrees_away_from_the_edges(n_bins):
    """ECE is its l1 norm, the root-mean-square error its l2 norm."""
    confidence, correct = draw(5000)
    preds, target = torch.tensor(confidence), torch.tensor(correct).int()
    for norm, ours in (("l1", ece), ("l2", rms_ce)):
        theirs = binary_calibration_error(preds, target, n_bins=n_bins, norm=norm)
        # Its accumulators are float32.
        assert ours(confidence, correct, n_bins=n_bins) == pytest.approx(
            float(theirs), abs=1e-6
        )


def test_a_confidence_of_one_belongs_to_the_last_bin():
    """Here torchmetrics differs: it has a hidden bin for exactly 1.0."""
    confidence, correct = [0.95, 1.0], [1, 0]
    assert ece(confidence, correct, n_bins=10) == pytest.approx(abs(0.975 - 0.5))
    theirs = binary_calibration_error(
        torch.tensor(confidence), torch.tensor(correct), n_bins=10, norm="l1"
    )
    assert float(theirs) == pytest.approx((0.05 + 1.0) / 2)


@pytest.mark.parametrize("n_bins", [10, 15])
def test_an_edge_belongs_to_the_bin_above_it(n_bins):
    """i/M as Python divides it; the last edge is in the last bin."""
    edges = [index / n_bins for index in range(n_bins + 1)]
    bins = reliability_bins(edges, np.ones(n_bins + 1), n_bins=n_bins)
    assert bins.n.tolist() == [1] * (n_bins - 1) + [2]
    assert bins.lo.tolist() == edges[:-1]
    assert bins.hi.tolist() == edges[1:]


@given(answers())
def test_bins_hold_everything_once(pair):
    """Counts and sums over the bins are those of the questions."""
    bins = reliability_bins(*pair)
    assert bins.n.sum() == len(pair[0])
    assert bins.sum_confidence.sum() == pytest.approx(pair[0].sum())
    assert bins.sum_correct.sum() == pytest.approx(pair[1].sum())
    inside = bins.n > 0
    mean = bins.sum_confidence[inside] / bins.n[inside]
    assert (mean >= bins.lo[inside] - 1e-12).all()
    assert (mean <= bins.hi[inside] + 1e-12).all()


@given(answers())
def test_the_errors_are_ordered(pair):
    """|gap| <= ECE <= root mean square <= 1, by Jensen's inequality twice."""
    gap, first, second = overconfidence(*pair), ece(*pair), rms_ce(*pair)
    assert abs(gap) <= first + 1e-12
    assert first <= second + 1e-12
    assert second <= 1 + 1e-12


def test_ece_is_the_gap_where_every_bin_is_over_confident():
    """The identity that makes all ECE variants equal after SFT."""
    confidence, _ = draw(1000)
    assert ece(confidence, np.zeros(1000)) == pytest.approx(confidence.mean())


def test_no_questions_have_no_error():
    """NaN, not zero: nothing was measured."""
    assert math.isnan(ece([], []))
    assert math.isnan(rms_ce([], []))


@pytest.mark.parametrize(
    ("confidence", "correct", "match"),
    [
        ([0.5, float("nan")], [1, 1], "confidence is nan"),
        ([1.0000001], [1], "confidence is 1.0000001"),
        ([-0.1], [1], "confidence is -0.1"),
        ([0.5], [2], "correctness is 2"),
        ([0.5, 0.5], [1], "one confidence and one correctness"),
        ([[0.5]], [[1]], "one confidence and one correctness"),
    ],
)
def test_what_is_no_probability_is_refused(confidence, correct, match):
    """torchmetrics would take values outside 0 to 1 for logits."""
    with pytest.raises(ValueError, match=match):
        ece(confidence, correct)


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


def test_scores_without_an_answer_are_refused():
    """NaN, and a question of which all options are missing."""
    with pytest.raises(ValueError, match="finite best score"):
        probabilities([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="finite best score"):
        probabilities([[0.0, 1.0], [-np.inf, -np.inf]])


def test_the_first_of_equal_options_is_the_answer():
    """As in the harness: ties go to the lowest index."""
    top = top_label([[0.4, 0.4, 0.2], [0.1, 0.45, 0.45]], [1, 1])
    assert top.correct.tolist() == [0, 1]
    assert top.confidence.tolist() == [0.4, 0.45]


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
