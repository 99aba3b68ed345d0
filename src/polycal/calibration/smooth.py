"""Calibration errors without bins."""

import math

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.bins import blocks, checked

CELLS = 1024  # of the grid that smooth_ece works on; 2 048 give the same to 1e-6
_HALVINGS = 30  # of the interval that holds the bandwidth


def smooth_ece(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Smooth ECE, Blasiok and Nakkiran 2023 (arXiv 2309.12236).

    The residuals confidence - correct are smoothed over confidence with a Gaussian of
    width sigma that is reflected at 0 and 1; smECE_sigma is the integral of the
    absolute value. The result is where it equals sigma, so that there is nothing to
    tune. The reflected Gaussian is diagonal in cosines: smoothing is a transform, a
    multiplication and a transform back.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.

    Returns:
        A fraction; NaN for no questions.

    Raises:
        ValueError: as `reliability_bins`.
    """
    confidence, correct = checked(confidence, correct)
    if not len(correct):
        return math.nan
    waves = np.fft.rfft(_reflected(confidence, confidence - correct))
    rates = (np.pi * np.arange(len(waves))) ** 2 / 2

    def smoothed(sigma: float) -> float:
        density = abs(np.fft.irfft(waves * np.exp(-rates * sigma**2))[: CELLS + 1])
        return float(density.sum() - (density[0] + density[-1]) / 2)  # trapezoids

    # More smoothing only cancels more, so smoothed(sigma) - sigma falls.
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if smoothed(middle) > middle:
            low = middle
        else:
            high = middle
    return high


def _reflected(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means on a grid of nodes i/CELLS, mirrored at both ends: [2 CELLS].

    A value is shared by the two nodes beside its place, in proportion.
    """
    at = places * CELLS
    left = np.minimum(at.astype(int), CELLS - 1)
    right = at - left
    grid = np.bincount(left, values * (1 - right), minlength=CELLS + 1)
    grid += np.bincount(left + 1, values * right, minlength=CELLS + 1)
    grid /= len(places)
    grid[[0, -1]] *= 2  # an end is its own mirror image
    return np.concatenate([grid, grid[-2:0:-1]])


def ks(confidence: ArrayLike, correct: ArrayLike, *, signed: bool = False) -> float:
    """Kolmogorov-Smirnov calibration error, Gupta et al. 2021 (arXiv 2006.12800).

    The largest |sum of confidence - correct over the k least confident| / N. Sums end
    where the confidence changes, so that the order of equal ones does not matter.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        signed: keep the sign of the largest sum; above 0 is over-confident.

    Returns:
        A fraction; NaN for no questions.

    Raises:
        ValueError: as `reliability_bins`.
    """
    found = blocks(*checked(confidence, correct))
    if not len(found.n):
        return math.nan
    sums = np.cumsum(found.confidence * found.n - found.correct) / found.n.sum()
    largest = sums[abs(sums).argmax()]
    return float(largest if signed else abs(largest))
