"""How far a calibration error may lie above the truth on few questions."""

import numpy as np
from scipy import special


def bound_bias(
    values: np.ndarray, null_means: np.ndarray, gaps: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Return a bound on the bias of calibration errors: the smaller of two.

    - A calibrated model of the same confidences would show `null_means`, and any other
      model has less bias.
    - The true error is at least the true |gap|, so the bias is at most the expected
      error - |gap|. The observed |gap| is too large near 0; the cross-fitted is not.

    Args:
        values: observed errors, of any shape, fractions.
        null_means: expected of a calibrated model.
        gaps: confidence minus accuracy of the same answers.
        spread: standard errors of the gaps.
    """
    return np.fmin(null_means, np.maximum(values - cross_fit(gaps, spread), 0.0))


def cross_fit(gaps: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return estimates of |gap| that are not above it on average.

    The sign is that of one half of the questions, the size that of the other one. With
    e ~ N(0, s^2) half their difference, the mean of (gap - e) sign(gap + e) over all
    halves is gap (2 Phi(gap/s) - 1) - 2 s phi(gap/s).

    Args:
        gaps: of any shape.
        spread: their standard errors s.
    """
    steps = np.full_like(gaps, np.inf)
    np.divide(abs(gaps), spread, out=steps, where=spread > 0)
    density = np.exp(-(steps**2) / 2) / np.sqrt(2 * np.pi)
    return abs(gaps) * (2 * special.ndtr(steps) - 1) - 2 * spread * density
