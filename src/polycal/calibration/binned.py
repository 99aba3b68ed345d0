"""Calibration errors that compare confidence and accuracy bin by bin."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.answers import of_gold
from polycal.calibration.bins import N_BINS, checked, mass_bins, rank_bins, width_bins

MIN_OF_A_BIN = 50  # a bin's own error is mostly noise below that
OF_A_MASS_BIN = 100  # questions of a bin, Hendrycks et al. 2019


class _Gaps(NamedTuple):
    """The bins in use: confidence minus accuracy, accuracy, questions, share."""

    gap: np.ndarray
    accuracy: np.ndarray
    n: np.ndarray
    share: np.ndarray


def _gaps(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray) -> _Gaps:
    n = np.bincount(bins)
    used = n > 0
    n = n[used]
    accuracy = np.bincount(bins, correct)[used] / n
    gap = np.bincount(bins, confidence - correct)[used] / n
    return _Gaps(gap, accuracy, n, n / max(len(bins), 1))


def overconfidence(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The signed gap: mean confidence minus accuracy; above 0 is over-confident.

    Returns:
        From -1 to 1; NaN for no questions.
    """
    confidence, correct = checked(confidence, correct)
    return float((confidence - correct).mean()) if len(correct) else math.nan


def ece(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Expected calibration error: sum_b n_b/n |acc_b - conf_b|.

    Naeini et al. 2015 and Guo et al. 2017, top label, bins of equal width.

    Example:
        >>> round(ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1], n_bins=10), 6)
        0.4
    """
    confidence, correct = checked(confidence, correct)
    return _first(_gaps(confidence, correct, width_bins(confidence, n_bins)))


def ece_mass(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """Expected calibration error with bins of equal mass; ties stay in one bin.

    Nguyen and O'Connor 2015; the binning is `mass_bins`.
    """
    confidence, correct = checked(confidence, correct)
    return _first(_gaps(confidence, correct, mass_bins(confidence, n_bins)))


def cancellation(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """What of the ECE is over- and under-confidence that cancel: ECE - |gap|.

    0 where all bins err to the same side; then every way of binning gives the gap.
    """
    total = ece(confidence, correct, n_bins=n_bins)
    return max(total - abs(overconfidence(confidence, correct)), 0.0)


def ece_all(
    probs: ArrayLike,
    gold: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    n_bins: int = N_BINS,
) -> float:
    """Expected calibration error over every option of every question.

    Kadavath et al. 2022: the probability of each option against whether it is the
    right one. It shrinks with the number of options, and its signed gap is always 0,
    so compare it between questions of as many options only.

    Args:
        probs: [N, K] probabilities.
        gold: [N] index of the right option.
        valid: [N, K] the options that exist; all of them if not given.
        n_bins: number of bins.

    Raises:
        ValueError: a value lies outside 0 to 1, or an index outside the options.
    """
    probs, gold = np.asarray(probs, np.float64), np.asarray(gold, np.int64)
    held = np.ones(probs.shape, bool) if valid is None else np.asarray(valid, bool)
    if not of_gold(held, gold).all():
        raise ValueError("a question's right option is not valid")
    right = np.arange(probs.shape[1]) == gold[:, None]
    return ece(np.minimum(probs[held], 1.0), right[held], n_bins=n_bins)


def rms_ce(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Root-mean-square calibration error: sqrt(sum_b n_b/n (acc_b - conf_b)^2).

    Hendrycks et al. 2019 (arXiv 1812.04606), but with fixed bins of equal width, and
    all of them: the code published there leaves out the most confident one.
    """
    confidence, correct = checked(confidence, correct)
    return _second(_gaps(confidence, correct, width_bins(confidence, n_bins)))


def rms_mass(
    confidence: ArrayLike, correct: ArrayLike, *, size: int = OF_A_MASS_BIN
) -> float:
    """Root-mean-square calibration error with bins of `size` questions by rank.

    The formula of Hendrycks et al. 2019 with all of its bins; the last one takes the
    rest, ties stay in one bin. A calibrated model has about sqrt(mean acc (1 - acc) /
    size), however many questions there are: it depends on the accuracy.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        size: questions of a bin.
    """
    confidence, correct = checked(confidence, correct)
    return _second(_gaps(confidence, correct, rank_bins(confidence, size)))


def rms_hendrycks(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The root-mean-square calibration error that Hendrycks' code computes.

    `calib_err` of github.com/hendrycks/outlier-exposure, copied to Humanity's Last
    Exam and others: bins of 100 by rank, of which the last and most confident one is
    left out of the sum and stays in the denominator. For comparison with numbers that
    were published with it only. Here ties are broken by the order of the rows (there,
    by an unstable sort).

    Returns:
        A fraction; NaN for fewer than 100 questions, where the original stops with an
        IndexError.
    """
    confidence, correct = checked(confidence, correct)
    n_bins = len(correct) // OF_A_MASS_BIN
    if not n_bins:
        return math.nan
    held = (n_bins - 1) * OF_A_MASS_BIN
    order = np.argsort(confidence, kind="stable")[:held]
    gaps = (confidence - correct)[order].reshape(-1, OF_A_MASS_BIN).mean(axis=1)
    return math.sqrt((gaps**2).sum() * OF_A_MASS_BIN / len(correct))


def mce(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = N_BINS,
    at_least: int = MIN_OF_A_BIN,
) -> float:
    """Maximum calibration error: max_b |acc_b - conf_b|, Naeini et al. 2015.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        n_bins: number of bins of equal width.
        at_least: questions that a bin needs to count; the error of a bin of one
            question is an accident.

    Returns:
        A fraction; NaN where no bin counts.
    """
    confidence, correct = checked(confidence, correct)
    found = _gaps(confidence, correct, width_bins(confidence, n_bins))
    gaps = found.gap[found.n >= at_least]
    return float(abs(gaps).max()) if len(gaps) else math.nan


def ece_debiased(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """ECE minus an estimate of its upward bias: 2 ECE - sum_b n_b/n E|N(d_b, s_b^2)|.

    Kumar et al. 2019 (arXiv 1909.10155) draw the normal deviate; here its expectation
    is closed, that of the folded normal distribution: s sqrt(2/pi) exp(-d^2 / 2 s^2) +
    |d| (1 - 2 Phi(-|d|/s)), with s_b^2 = acc_b (1 - acc_b) / n_b.

    Returns:
        A fraction, which may be below 0; NaN for no questions.
    """
    confidence, correct = checked(confidence, correct)
    found = _gaps(confidence, correct, width_bins(confidence, n_bins))
    spread = np.sqrt(found.accuracy * (1 - found.accuracy) / found.n)
    expected = folded_normal_mean(found.gap, spread)
    return 2 * _first(found) - float((found.share * expected).sum())


def folded_normal_mean(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """E|X| of normal X, element by element; |mean| where the spread is 0."""
    safe = np.where(spread > 0, spread, 1.0)
    scaled = abs(mean) / safe
    erf = np.array([math.erf(each / math.sqrt(2)) for each in scaled])
    folded = safe * math.sqrt(2 / math.pi) * np.exp(-(scaled**2) / 2)
    return np.where(spread > 0, folded + abs(mean) * erf, abs(mean))


def l2_debiased(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """The root of sum_b n_b/n (d_b^2 - acc_b (1 - acc_b) / (n_b - 1)), or 0 below it.

    The l2 calibration error without its upward bias: Broecker 2012, Kumar et al. 2019.
    Bins of equal mass; one question's variance is unknown, so its bin counts as 0.
    """
    confidence, correct = checked(confidence, correct)
    if not len(correct):
        return math.nan
    found = _gaps(confidence, correct, mass_bins(confidence, n_bins))
    noise = found.accuracy * (1 - found.accuracy) / np.maximum(found.n - 1, 1)
    squares = np.where(found.n > 1, found.gap**2 - noise, 0.0)
    return math.sqrt(max((found.share * squares).sum(), 0.0))


def _first(gaps: _Gaps) -> float:
    return float((gaps.share * abs(gaps.gap)).sum()) if len(gaps.n) else math.nan


def _second(gaps: _Gaps) -> float:
    return float(np.sqrt((gaps.share * gaps.gap**2).sum())) if len(gaps.n) else math.nan
