"""What a metric does as label smoothing grows: trend, slope, best value."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.proper import isotonic


class Dose(NamedTuple):
    """The response of a metric to the smoothing value.

    Attributes:
        fitted: [D] the nearest sequence that never rises (or never falls, whichever
            is nearer to the values).
        monotone: share of the replicates that are in that order without any fit.
        slope: least-squares slope of the metric over smoothing, per unit of smoothing.
        slope_low: of its bootstrap interval (percentiles).
        slope_high: the same.
        optimum: the smoothing with the lowest value.
        optimum_low: of the interval of the replicates' optima, a tried value.
        optimum_high: the same.
        chosen: [D] share of the replicates in which each smoothing is the optimum.
    """

    fitted: np.ndarray
    monotone: float
    slope: float
    slope_low: float
    slope_high: float
    optimum: float
    optimum_low: float
    optimum_high: float
    chosen: np.ndarray


def dose_response(
    smoothing: ArrayLike,
    values: ArrayLike,
    replicates: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Dose:
    """Trend, slope and optimum of a metric of which less is better.

    An optimum strictly between the ends is what a U-shape looks like: with more
    smoothing the model becomes under-confident.

    Args:
        smoothing: [D] rising, at least two values.
        values: [D] the metric at each.
        replicates: [R, D] bootstrap replicates, paired over the smoothing values.
        confidence: of both intervals.

    Raises:
        ValueError: the smoothing values do not rise, or shapes do not fit.
    """
    x, y = np.asarray(smoothing, np.float64), np.asarray(values, np.float64)
    drawn = np.asarray(replicates, np.float64)
    if len(x) < 2 or (np.diff(x) <= 0).any():
        raise ValueError("a dose-response needs two or more rising smoothing values")
    if y.shape != x.shape or drawn.shape[1:] != x.shape:
        raise ValueError(f"values {y.shape}, {drawn.shape} for {len(x)} smoothings")
    weights = np.ones(len(x))
    falling, rising = -isotonic(-y, weights), isotonic(y, weights)
    falls = ((falling - y) ** 2).sum() <= ((rising - y) ** 2).sum()
    steps = np.diff(drawn, axis=1)
    contrast = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slopes = drawn @ contrast
    best = drawn.argmin(axis=1)
    tails = 50 - 50 * confidence, 50 + 50 * confidence  # percent
    optima = np.percentile(x[best], tails, method="inverted_cdf")
    return Dose(
        falling if falls else rising,
        float((steps <= 0 if falls else steps >= 0).all(axis=1).mean()),
        float(y @ contrast),
        *map(float, np.percentile(slopes, tails)),
        float(x[y.argmin()]),
        *map(float, optima),
        np.bincount(best, minlength=len(x)) / len(drawn),
    )
