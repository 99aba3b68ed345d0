"""Which bin a confidence is in, and the sums of each bin."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

N_BINS = 15


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


class Blocks(NamedTuple):
    """Questions of equal confidence, from the lowest confidence to the highest.

    Attributes:
        confidence: [D] the distinct values, rising.
        n: [D] questions.
        correct: [D] right answers.
        inverse: [N] the block of each question.
    """

    confidence: np.ndarray
    n: np.ndarray
    correct: np.ndarray
    inverse: np.ndarray


def width_bins(confidence: np.ndarray, n_bins: int = N_BINS) -> np.ndarray:
    """The bin [N] of each confidence, of M bins with the edges i/M.

    A bin holds its lower edge and not its upper one; the last one holds 1. The edges
    are i/M as Python divides, because `numpy.linspace(0, 1, 11)` has 0.6000000000000001
    and would put 0.6 into the bin below it.

    Raises:
        ValueError: M is below 1.
    """
    if n_bins < 1:
        raise ValueError(f"{n_bins} bins hold no question; take at least 1")
    edges = np.arange(n_bins + 1) / n_bins
    return np.minimum(np.searchsorted(edges, confidence, side="right") - 1, n_bins - 1)


def mass_bins(confidence: np.ndarray, n_bins: int = N_BINS) -> np.ndarray:
    """The bin [N] of each confidence, of M bins with as many questions each.

    The question of rank r (from 0) is in bin floor(M r / N). Equal confidences stay
    together, in the bin of their mean rank, so that bins may differ in size or be
    empty: with ties, equal mass does not exist.

    Example:
        >>> mass_bins(np.array([0.2, 0.9, 0.4, 0.9]), 2).tolist()
        [0, 1, 0, 1]

    Raises:
        ValueError: M is below 1.
    """
    if n_bins < 1:
        raise ValueError(f"{n_bins} bins hold no question; take at least 1")
    return (mean_rank(confidence) * n_bins // max(len(confidence), 1)).astype(int)


def rank_bins(confidence: np.ndarray, size: int) -> np.ndarray:
    """The bin [N] of each confidence: `size` questions by rank, the rest in the last.

    Equal confidences stay together, in the bin of their mean rank.

    Args:
        confidence: [N] from 0 to 1.
        size: questions of a bin; with fewer than two bins' worth there is one bin.
    """
    last = max(len(confidence) // size - 1, 0)
    return np.minimum(mean_rank(confidence) // size, last).astype(int)


def blocks(confidence: np.ndarray, correct: np.ndarray) -> Blocks:
    """Gather the questions of equal confidence.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] from 0 to 1.
    """
    values, inverse, counts = np.unique(
        confidence, return_inverse=True, return_counts=True
    )
    right = np.bincount(inverse, correct, minlength=len(values))
    return Blocks(values, counts, right, inverse)


def reliability_bins(
    confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = N_BINS
) -> Bins:
    """Questions, confidence and right answers per bin of equal width.

    Raises:
        ValueError: the lengths differ, or a value lies outside 0 to 1 or is NaN.
    """
    confidence, correct = checked(confidence, correct)
    edges = np.arange(n_bins + 1) / n_bins
    bins = width_bins(confidence, n_bins)
    return Bins(
        edges[:-1],
        edges[1:],
        np.bincount(bins, minlength=n_bins),
        np.bincount(bins, confidence, minlength=n_bins),
        np.bincount(bins, correct, minlength=n_bins),
    )


def checked(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 vectors.

    Raises:
        ValueError: the lengths differ, or a value lies outside 0 to 1 or is NaN.
    """
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


def mean_rank(confidence: np.ndarray) -> np.ndarray:
    """Rank [N] from 0; equal values share the mean of their ranks.

    Args:
        confidence: [N].
    """
    _, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) / 2)[inverse]
