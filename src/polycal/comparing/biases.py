"""How far a calibration error may lie above the truth on few questions."""

import numpy as np

from polycal.calibration.binned import folded_normal_mean
from polycal.comparing.replicates import RunMetric


def bound_bias(ece: RunMetric, gap: RunMetric) -> np.ndarray:
    """Return a bound [L] on the bias of a run's ECE: the smaller of two.

    - A calibrated model of the same confidences would show `null_mean`, and any other
      model has less bias.
    - The true ECE is at least the true |gap|, so the bias is at most E[ECE] - |gap|:
      the measured cancellation ECE - |gap|, and what the noise of the gap adds to |gap|
      near 0, the mean of a folded normal distribution minus |gap|.
    """
    spread = gap.replicates.std(axis=1, ddof=1, dtype=np.float64)
    size = abs(gap.values)
    cancelled = ece.values - size + folded_normal_mean(size, spread) - size
    return np.fmin(ece.null_means, np.maximum(cancelled, 0.0))
