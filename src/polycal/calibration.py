"""Calibration metrics of multiple-choice answers: NumPy arrays in, numbers out.

The names are those of the literature; each docstring gives the formula and its source.
All arithmetic is float64. Bins have equal width with edges i/M; a bin holds its lower
edge and not its upper one, and the last bin holds 1 (as netcal does; torchmetrics puts
exactly 1.0 into a hidden bin of its own).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

N_BINS = 15


class TopLabel(NamedTuple):
    """The answers of N questions.

    Attributes:
        confidence: [N] probability of the most probable option.
        correct: [N] 1.0 where that option is the right one, else 0.0.
    """

    confidence: np.ndarray
    correct: np.ndarray


class Bins(NamedTuple):
    """A reliability diagram with M bins; sums, so that diagrams can be added up.

    Attributes:
        lo: [M] lower edges.
        hi: [M] upper edges.
        n: [M] questions.
        sum_confidence: [M].
        sum_correct: [M].
    """

    lo: np.ndarray
    hi: np.ndarray
    n: np.ndarray
    sum_confidence: np.ndarray
    sum_correct: np.ndarray


def probabilities(scores: ArrayLike) -> np.ndarray:
    """Softmax over the options of each question.

    With the mean log-probability of an option's tokens as its score, this is the
    normalised inverse perplexity: exp(L/T) / sum exp(L/T) = (1/ppl) / sum (1/ppl).

    Args:
        scores: [N, K] nats; -inf where a question has fewer than K options.

    Returns:
        [N, K] probabilities; 0 where the score is -inf.

    Raises:
        ValueError: a score is NaN or +inf, or a question has no finite score.
    """
    scores = np.asarray(scores, np.float64)
    best = scores.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise ValueError("every question needs a finite best score")
    weights = np.exp(scores - best)
    return weights / weights.sum(axis=1, keepdims=True)


def top_label(probs: ArrayLike, gold: ArrayLike) -> TopLabel:
    """The confidence and correctness of the most probable option of each question.

    Of equally probable options the first one is taken (as `lm_eval` does).

    Args:
        probs: [N, K] probabilities.
        gold: [N] index of the right option.
    """
    probs = np.asarray(probs, np.float64)
    chosen = probs.argmax(axis=1)
    correct = (chosen == np.asarray(gold)).astype(np.float64)
    return TopLabel(probs.max(axis=1), correct)


def reliability_bins(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> Bins:
    """Questions, confidence and right answers per bin of equal width.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        n_bins: M.

    Raises:
        ValueError: the lengths differ, or a value lies outside 0 to 1 or is NaN.
    """
    confidence, correct = _checked(confidence, correct)
    edges = np.arange(n_bins + 1) / n_bins
    bins = np.searchsorted(edges, confidence, side="right") - 1
    bins = np.minimum(bins, n_bins - 1)
    return Bins(
        edges[:-1],
        edges[1:],
        np.bincount(bins, minlength=n_bins),
        np.bincount(bins, confidence, minlength=n_bins),
        np.bincount(bins, correct, minlength=n_bins),
    )


def ece(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Expected calibration error: sum_b n_b/n |acc_b - conf_b|.

    Naeini et al. 2015 and Guo et al. 2017, top label, bins of equal width.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        n_bins: number of bins.

    Returns:
        A fraction; NaN for no questions.

    Raises:
        ValueError: as `reliability_bins`.

    Example:
        >>> round(ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1], n_bins=10), 6)
        0.4
    """
    gaps, shares = _bin_gaps(confidence, correct, n_bins)
    return float((shares * abs(gaps)).sum()) if len(gaps) else float("nan")


def rms_ce(confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Root-mean-square calibration error: sqrt(sum_b n_b/n (acc_b - conf_b)^2).

    Hendrycks et al. 2019 (arXiv 1812.04606), but with fixed bins of equal width, and
    all of them: the code published there leaves out the most confident one.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        n_bins: number of bins.

    Returns:
        A fraction; NaN for no questions.

    Raises:
        ValueError: as `reliability_bins`.
    """
    gaps, shares = _bin_gaps(confidence, correct, n_bins)
    return float(np.sqrt((shares * gaps**2).sum())) if len(gaps) else float("nan")


def overconfidence(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The signed gap: mean confidence minus accuracy; above 0 is over-confident.

    Raises:
        ValueError: as `reliability_bins`.
    """
    confidence, correct = _checked(confidence, correct)
    return float(confidence.mean() - correct.mean())


def brier(probs: ArrayLike, gold: ArrayLike) -> float:
    """Brier score over all options: mean_i sum_k (p_ik - [k = gold_i])^2, 0 to 2.

    Brier 1950, with options that a question lacks at probability 0.

    Args:
        probs: [N, K] probabilities.
        gold: [N] index of the right option.
    """
    probs, gold = np.asarray(probs, np.float64), np.asarray(gold)
    right = np.take_along_axis(probs, gold[:, None].astype(int), axis=1)[:, 0]
    return float(((probs**2).sum(axis=1) - 2 * right + 1).mean())


def nll(scores: ArrayLike, gold: ArrayLike) -> float:
    """Mean negative log-likelihood of the right option, in nats.

    From scores and not from probabilities, so that a very small probability is not
    rounded to zero first.

    Args:
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.
    """
    scores, gold = np.asarray(scores, np.float64), np.asarray(gold)
    right = np.take_along_axis(scores, gold[:, None].astype(int), axis=1)[:, 0]
    return float((np.logaddexp.reduce(scores, axis=1) - right).mean())


def _bin_gaps(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence minus accuracy, and share of the questions, of each bin in use."""
    bins = reliability_bins(confidence, correct, n_bins=n_bins)
    used = bins.n > 0
    gaps = (bins.sum_confidence - bins.sum_correct)[used] / bins.n[used]
    return gaps, bins.n[used] / max(bins.n.sum(), 1)


def _checked(
    confidence: ArrayLike, correct: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    confidence = np.asarray(confidence, np.float64)
    correct = np.asarray(correct, np.float64)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(
            f"one confidence and one correctness per question are needed, not "
            f"{confidence.shape} and {correct.shape}"
        )
    for name, values in (("confidence", confidence), ("correctness", correct)):
        outside = ~((values >= 0) & (values <= 1))  # NaN is outside, too
        if outside.any():
            raise ValueError(f"a {name} is {values[outside][0]}, not from 0 to 1")
    return confidence, correct
