"""Standard errors and intervals of metrics from their bootstrap replicates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Spread(NamedTuple):
    """The sampling error of a metric of G samples.

    Attributes:
        se: [G] standard errors over questions.
        low: [G] lower ends of the intervals.
        high: [G] upper ends.
    """

    se: np.ndarray
    low: np.ndarray
    high: np.ndarray


def spread(
    values: np.ndarray,
    *,
    confidence: float,
    observed: ArrayLike | None = None,
    bias: ArrayLike = 0.0,
) -> Spread:
    """Return the standard errors of a metric and its intervals.

    The interval holds the replicates' percentiles. The replicates of a biased metric
    (ECE) carry its bias twice, so their percentiles miss the truth; with an observed
    value v, at most b above the truth, the interval is [v - b - (q_high - mean),
    v + (mean - q_low)], not below 0.

    Args:
        values: [R, G] replicates, or [R] of a single sample.
        confidence: of the intervals, such as 0.95.
        observed: [G] values of a biased metric; None for a metric without bias.
        bias: [G] bounds on how far they lie above the truth, on average.
    """
    values = values.astype(np.float64)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    if observed is not None:
        centre, mean = np.asarray(observed), values.mean(axis=0)
        low, high = centre - bias - (high - mean), centre + (mean - low)
        low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
    return Spread(values.std(axis=0, ddof=1), low, high)
