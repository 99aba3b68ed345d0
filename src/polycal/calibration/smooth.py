"""Calibration errors without bins."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

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
    """
    confidence, correct = checked(confidence, correct)
    if not len(correct):
        return math.nan
    waves = _waves(confidence, confidence - correct)
    return _meet(lambda sigma: _integrate(abs(_smooth(waves, sigma))))


class Linearised(NamedTuple):
    """Smooth ECE around its value.

    Attributes:
        value: the smooth ECE.
        slope: of the integral in sigma, at most 0.
        sign: [N] of the smoothed residuals, smoothed once more, at each confidence.
    """

    value: float
    slope: float
    sign: np.ndarray


def linearise(
    confidence: np.ndarray, residuals: np.ndarray, value: float
) -> Linearised:
    """Return how smooth ECE depends on single questions.

    Args:
        confidence: [N] from 0 to 1, at least one.
        residuals: [N] confidence - correct.
        value: their smooth ECE.
    """
    waves = _waves(confidence, residuals)

    def smoothed(sigma: float) -> float:
        return _integrate(abs(_smooth(waves, sigma)))

    step = 1e-3 * value
    slope = (smoothed(value + step) - smoothed(value - step)) / (2 * step)
    slope = min(slope, 0.0)
    density = _smooth(waves, value) * CELLS
    signs = np.sign(density)
    mirrored = np.concatenate([signs, signs[-2:0:-1]])
    again = _smooth(np.fft.rfft(mirrored), value)
    at = np.interp(confidence, np.arange(CELLS + 1) / CELLS, again)
    return Linearised(value, slope, at)


def calibrated_smooth_ece(confidence: np.ndarray) -> float:
    """Return the smooth ECE that a calibrated model of these confidences would show.

    The smoothed residuals are normal then, around 0.

    Args:
        confidence: [N] from 0 to 1, at least one.
    """
    waves = _waves(confidence, confidence * (1 - confidence))

    def expected(sigma: float) -> float:
        spread = _spread(waves, sigma, len(confidence))
        return _integrate(math.sqrt(2 / math.pi) * spread) / CELLS

    return _meet(expected, halvings=12)  # one in a thousand is enough of a bound


def _waves(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.fft.rfft(_reflected(places, values))


def _smooth(waves: np.ndarray, sigma: float) -> np.ndarray:
    """Return what a Gaussian of this width makes of waves, on the grid's nodes."""
    return np.fft.irfft(waves * np.exp(-_rates(len(waves)) * sigma**2))[: CELLS + 1]


@functools.lru_cache(maxsize=2)
def _rates(n: int) -> np.ndarray:
    return (np.pi * np.arange(n)) ** 2 / 2


def _spread(squares: np.ndarray, sigma: float, n: int) -> np.ndarray:
    """Return the standard error of smoothed residuals from waves of their squares.

    The square of a Gaussian of width sigma is one of width sigma / sqrt(2), divided by
    2 sigma sqrt(pi).
    """
    density = np.maximum(_smooth(squares, sigma / math.sqrt(2)) * CELLS, 0.0)
    return np.sqrt(density / (2 * sigma * math.sqrt(math.pi) * n))


def _integrate(density: np.ndarray) -> float:
    return float(density.sum() - (density[0] + density[-1]) / 2)  # trapezoids


def _meet(falling: Callable[[float], float], *, halvings: int = _HALVINGS) -> float:
    """Return where a function that falls with more smoothing equals its argument."""
    low, high = 0.0, 1.0
    for _ in range(halvings):
        middle = (low + high) / 2
        if falling(middle) > middle:
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
    lower = np.bincount(left, values * (1 - right), minlength=CELLS + 1)
    upper = np.bincount(left + 1, values * right, minlength=CELLS + 1)
    grid = (lower + upper) / len(places)
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
    """
    found = blocks(*checked(confidence, correct))
    if not len(found.n):
        return math.nan
    sums = np.cumsum(found.confidence * found.n - found.correct) / found.n.sum()
    largest = sums[abs(sums).argmax()]
    return float(largest if signed else abs(largest))
