"""Metrics against hand-worked cases, independent libraries and their own identities."""

import math

import numpy as np
import pytest
import torch
from confidences import draw, drawn_answers, spread
from hypothesis import given
from scipy.stats import foldnorm
from torchmetrics.functional.classification import binary_calibration_error

from polycal.calibration import (
    cancellation,
    corp,
    ece,
    ece_all,
    ece_debiased,
    ece_mass,
    l2_debiased,
    mass_bins,
    mce,
    overconfidence,
    probabilities,
    reliability_bins,
    rms_ce,
    rms_hendrycks,
    rms_mass,
    width_bins,
)
from polycal.calibration.binned import folded_normal_mean
from polycal.calibration.bins import rank_bins


def test_ece_and_rms_of_a_hand_worked_case():
    """Two bins: 3 at .95 with 1 right (gap .6167), 1 at .55 and right (gap -.45)."""
    confidence, correct = [0.95, 0.95, 0.95, 0.55], [1, 0, 0, 1]
    first, second = 0.95 - 1 / 3, 0.55 - 1
    assert ece(confidence, correct) == pytest.approx(0.75 * first - 0.25 * second)
    assert rms_ce(confidence, correct) == pytest.approx(
        math.sqrt(0.75 * first**2 + 0.25 * second**2)
    )
    assert overconfidence(confidence, correct) == pytest.approx(0.85 - 0.5)


def test_every_binned_error_takes_the_number_of_bins():
    """Two bins: .2 and .4, one right (-.2); .6 and .9, one right (+.25)."""
    pair = [0.2, 0.4, 0.6, 0.9], [1, 0, 0, 1]
    for metric, expected in (
        (ece, 0.225),
        (ece_mass, 0.225),
        (cancellation, 0.225 - 0.025),
        (rms_ce, math.sqrt((0.2**2 + 0.25**2) / 2)),
    ):
        assert metric(*pair, n_bins=2) == pytest.approx(expected), metric.__name__
    assert mce(*pair, n_bins=2, at_least=2) == pytest.approx(0.25)
    sd = math.sqrt(0.25 / 2)
    noisy = foldnorm.mean(np.array([0.2, 0.25]) / sd, scale=sd).mean()
    assert ece_debiased(*pair, n_bins=2) == pytest.approx(2 * 0.225 - noisy)
    probs, gold = [[0.9, 0.1], [0.4, 0.6]], [1, 1]
    assert ece_all(probs, gold, n_bins=2) == pytest.approx((0.5 + 0.5) / 4)


def test_the_debiased_square_of_a_hand_worked_case():
    """Squared gaps minus acc (1 - acc) / (n - 1), weighted by the questions.

    Four of which three are right: 1/4 - 3/16/3; three of which one is: (7/15)^2 -
    2/9/2. Then two bins of two, of which one has accuracy 1 and the other 1/2.
    """
    confidence, correct = [0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9], [1, 1, 1, 0, 0, 0, 1]
    first, second = 1 / 4 - 3 / 16 / 3, (7 / 15) ** 2 - 2 / 9 / 2
    expected = math.sqrt((4 * first + 3 * second) / 7)
    assert l2_debiased(confidence, correct, n_bins=2) == pytest.approx(expected)
    expected = math.sqrt((0.9**2 + 0.425**2 - 0.25) / 2)
    found = l2_debiased([0.1, 0.1, 0.9, 0.95], [1, 1, 1, 0], n_bins=2)
    assert found == pytest.approx(expected)


def test_bins_without_questions_are_there():
    """Above the highest confidence, too: sums of diagrams need equal lengths."""
    bins = reliability_bins([0.3], [1], n_bins=10)
    assert [len(column) for column in bins] == [10] * 5
    assert bins.sum_correct.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_errors_are_computed_in_double_precision():
    """Of confidences in float32 as of the same numbers in float64."""
    confidence, correct = (each.astype(np.float32) for each in draw(1001))
    wide = confidence.astype(float), correct.astype(float)
    assert overconfidence(confidence, correct) == overconfidence(*wide)
    assert corp(confidence, correct) == corp(*wide)


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


@given(drawn_answers())
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


@given(drawn_answers())
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


def test_torchmetrics_takes_one_value_above_one_for_a_logit():
    """One rounding step above 1, and it puts a sigmoid over all of them."""
    confidence, correct = draw(2000)
    preds, target = torch.tensor(confidence), torch.tensor(correct).int()
    usual = float(binary_calibration_error(preds, target, n_bins=15, norm="l1"))
    preds[0] = 1.0000001
    above = float(binary_calibration_error(preds, target, n_bins=15, norm="l1"))
    assert usual == pytest.approx(ece(confidence, correct), abs=1e-6)
    assert abs(above - usual) > 0.02
    with pytest.raises(ValueError, match=r"confidence is 1\.0000001"):
        ece(preds.numpy(), correct)


def test_linspace_would_put_some_edges_into_the_bin_below():
    """0.6 belongs to the bin 0.6 to 0.7; linspace's edge is 0.6000000000000001."""
    values = np.array([0.3, 0.6, 0.7])
    assert width_bins(values, 10).tolist() == [3, 6, 7]
    assert (np.digitize(values, np.linspace(0, 1, 11)) - 1).tolist() == [2, 5, 6]


@given(drawn_answers())
def test_mass_bins_are_balanced_and_keep_ties(pair):
    """Equal confidences share a bin, bins rise, and without ties differ by one."""
    confidence = pair[0]
    bins = mass_bins(confidence, 5)
    assert ((bins >= 0) & (bins < 5)).all()
    order = np.argsort(confidence, kind="stable")
    assert (np.diff(bins[order]) >= 0).all()
    for value in np.unique(confidence):
        assert len(set(bins[confidence == value])) == 1
    if len(np.unique(confidence)) == len(confidence):
        sizes = np.bincount(bins, minlength=5)
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("n", [1, 7, 15, 16, 3000])
def test_equal_mass_is_numpy_s_split_where_nothing_is_tied(n):
    """An ECE over `array_split` of the sorted questions, where M divides N."""
    confidence, correct = spread(n)
    order = np.argsort(confidence)
    parts = np.array_split((confidence - correct)[order], 15)
    expected = sum(abs(part.sum()) for part in parts) / n
    if n % 15 == 0:
        assert ece_mass(confidence, correct) == pytest.approx(expected)
    else:
        assert ece_mass(confidence, correct) >= abs(overconfidence(*spread(n))) - 1e-12


def test_all_confidences_tied():
    """One bin, and every error is the gap; equal mass does not break the tie."""
    confidence, correct = np.full(200, 0.8), np.arange(200) % 2
    for metric in (ece, ece_mass, rms_ce, rms_mass, mce):
        assert metric(confidence, correct) == pytest.approx(0.3)
    assert set(mass_bins(confidence, 15)) == {7}


def test_rank_bins_take_the_rest_into_the_last():
    """250 questions: 100 and 150; fewer than 200: one bin."""
    confidence, _ = spread(250)
    assert np.bincount(rank_bins(confidence, 100)).tolist() == [100, 150]
    assert np.bincount(rank_bins(confidence[:199], 100)).tolist() == [199]


@pytest.mark.parametrize(
    ("n", "published"),
    [(100, 0.0), (658, 0.0864888087140887), (1000, 0.12260009160228456)],
)
def test_hendrycks_code_leaves_out_the_most_confident_bin(n, published):
    """What `calib_err` of hendrycks/outlier-exposure e6ede98 gave for these arrays."""
    confidence, correct = spread(n)
    assert rms_hendrycks(confidence, correct) == pytest.approx(published, abs=1e-12)
    order = np.argsort(confidence)
    gaps = (confidence - correct)[order]
    parts = np.split(gaps, range(100, n // 100 * 100, 100))
    whole = sum(len(part) * part.mean() ** 2 for part in parts) / n
    assert rms_mass(confidence, correct) == pytest.approx(math.sqrt(whole))
    last = len(parts[-1]) * parts[-1].mean() ** 2 / n
    assert rms_hendrycks(confidence, correct) == pytest.approx(
        math.sqrt(max(whole - last, 0)), abs=1e-12
    )


def test_hendrycks_code_breaks_ties_by_the_order_of_the_rows():
    """Of 200 alike the first 100 stay, which are right: sqrt(.5^2 x 100 / 200)."""
    correct = np.repeat([1, 0], 100)
    found = rms_hendrycks(np.full(200, 0.5), correct)
    assert found == pytest.approx(math.sqrt(0.125))


def test_hendrycks_code_needs_a_hundred_questions():
    """It stops with an IndexError below; here the number is missing."""
    assert math.isnan(rms_hendrycks(*spread(99)))


def test_small_bins_do_not_count_for_the_maximum():
    """Bin 0.9 to 1 has 49 questions, all wrong; bin 0.5 to 0.6 has 50."""
    confidence = np.repeat([0.95, 0.55], [49, 50])
    correct = np.repeat([0, 1], [49, 50])
    assert mce(confidence, correct, n_bins=10) == pytest.approx(0.45)
    assert mce(confidence, correct, n_bins=10, at_least=49) == pytest.approx(0.95)
    assert math.isnan(mce(confidence[:49], correct[:49]))


@pytest.mark.filterwarnings("error")
def test_the_folded_normal_is_scipy_s():
    """Its mean, and |mean| where nothing varies."""
    mean, sd = np.array([-0.3, 0.0, 0.02]), np.array([0.1, 0.2, 0.05])
    expected = foldnorm.mean(abs(mean) / sd, scale=sd)
    np.testing.assert_allclose(folded_normal_mean(mean, sd), expected, rtol=1e-12)
    assert folded_normal_mean(np.array([-0.3]), np.zeros(1)).tolist() == [0.3]


def test_debiasing_removes_a_part_of_the_noise_of_a_calibrated_model():
    """True error 0, which ECE misses by 6 points on 400 questions: two fifths of it."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(60):
        confidence = random.uniform(0.25, 1, 400)
        correct = random.uniform(size=400) < confidence
        found.append(
            [each(confidence, correct) for each in (ece, ece_debiased, l2_debiased)]
        )
    plain, debiased, second = np.mean(found, axis=0)
    assert plain > 0.05
    assert 0.5 < debiased / plain < 0.75
    assert second < plain


def test_the_debiased_square_is_unbiased():
    """A gap of 0.1 everywhere: the mean of its squares is 0.01."""
    random = np.random.default_rng(4)
    squares = []
    for _ in range(200):
        confidence = random.uniform(0.5, 1, 500)
        correct = random.uniform(size=500) < confidence - 0.1
        squares.append(l2_debiased(confidence, correct) ** 2)
    assert np.mean(squares) == pytest.approx(0.01, abs=0.001)


def test_a_bin_of_one_question_has_no_variance():
    """15 questions in 15 bins: nothing can be said, and nothing is."""
    confidence, correct = spread(15)
    assert l2_debiased(confidence, correct) == 0


def test_the_ece_over_all_options_is_that_of_the_flat_arrays():
    """Missing options are not counted; the signed gap over all options is 0."""
    random = np.random.default_rng(5)
    scores = random.normal(size=(300, 5)) * 2
    scores[:100, 3:] = -np.inf
    gold = random.integers(3, size=300)
    valid = np.isfinite(scores)
    probs = probabilities(scores)
    flat = probs[valid], (np.arange(5) == gold[:, None])[valid]
    theirs = binary_calibration_error(
        torch.tensor(flat[0]), torch.tensor(flat[1]).int(), n_bins=15, norm="l1"
    )
    ours = ece_all(probs, gold, valid=valid)
    assert ours == pytest.approx(float(theirs), abs=1e-6)
    assert overconfidence(*flat) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="not valid"):
        ece_all(probs, np.full(300, 4), valid=valid)
    assert ece_all(probs, gold, valid=valid.astype(int)) == ours
    assert ece_all([[1 + 2.3e-16, 0.0]], [0]) == 0  # a softmax may round up


@given(drawn_answers())
def test_cancellation_is_the_rest_of_the_ece(pair):
    """Never below 0, and together with |gap| the ECE."""
    rest = cancellation(*pair)
    assert rest >= 0
    assert rest + abs(overconfidence(*pair)) == pytest.approx(ece(*pair))


@given(drawn_answers())
def test_no_error_depends_on_the_order_of_the_questions(pair):
    """Ties included."""
    turned = [each[::-1] for each in pair]
    for metric in (ece, ece_mass, rms_ce, rms_mass, ece_debiased, l2_debiased):
        assert metric(*turned) == pytest.approx(metric(*pair), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_metrics_of_no_questions_are_missing():
    """Each of them NaN, without a warning."""
    for metric in (ece_mass, rms_mass, rms_hendrycks, mce, ece_debiased, l2_debiased):
        assert math.isnan(metric([], []))
    assert math.isnan(overconfidence([], []))
