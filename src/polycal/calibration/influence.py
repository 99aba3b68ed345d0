"""Terms [N] whose mean is a metric that is no mean itself, for its bootstrap.

Each is the metric plus the influence of a question on it (the infinitesimal jackknife,
Efron 1982), so that a weighted mean of terms is the metric of weighted questions to
first order. Bins, and the width of a smoothing kernel, are those of all questions.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from polycal.calibration import smooth
from polycal.calibration.answers import Answers
from polycal.calibration.binned import folded_normal_mean
from polycal.calibration.bins import mass_bins, width_bins

Binning = Callable[[np.ndarray], np.ndarray]


class _Binned:
    """Gaps of the questions, and of their bins."""

    def __init__(self, given: Answers, binning: Binning) -> None:
        confidence, correct = given.top
        self.g, bins = confidence - correct, binning(confidence)
        n = np.bincount(bins)
        self._index, safe = bins, np.maximum(n, 1)
        self.n, self.share = n, n / max(len(bins), 1)
        self.gap = np.bincount(bins, self.g) / safe
        accuracy = np.bincount(bins, correct) / safe
        self.calibrated = np.bincount(bins, confidence * (1 - confidence))
        self.spread = np.sqrt(accuracy * (1 - accuracy) / safe)

    def spread_out(self, values: np.ndarray) -> np.ndarray:
        """Return the value [N] of each question's bin."""
        return values[self._index]


def ece_terms(given: Answers, binning: Binning) -> np.ndarray:
    """Terms of an ECE: a gap counts with the sign of its bin."""
    found = _Binned(given, binning)
    return found.spread_out(np.sign(found.gap)) * found.g


def ece_debiased_terms(given: Answers) -> np.ndarray:
    """Terms of `binned.ece_debiased`; the bins' standard errors are taken as fixed."""
    found = _Binned(given, width_bins)
    steps = np.divide(
        found.gap,
        found.spread,
        out=np.copysign(np.inf, found.gap),
        where=found.spread > 0,
    )
    inside = [math.erf(step / math.sqrt(2)) for step in steps]  # 2 Phi - 1
    slope = 2 * np.sign(found.gap) - np.array(inside)
    level = 2 * abs(found.gap) - folded_normal_mean(found.gap, found.spread)
    moved = found.g - found.spread_out(found.gap)
    return found.spread_out(level) + found.spread_out(slope) * moved


def rms_terms(given: Answers) -> np.ndarray:
    """Terms of `binned.rms_ce`: of a square and of its root."""
    found = _Binned(given, width_bins)
    square = (found.share * found.gap**2).sum()
    if not square > 0:
        return np.zeros(len(found.g))
    gap = found.spread_out(found.gap)
    root = math.sqrt(square)
    return root + (2 * gap * found.g - gap**2 - square) / (2 * root)


def auroc_terms(given: Answers) -> np.ndarray:
    """Terms of the AUROC (DeLong, DeLong and Clarke-Pearson 1988); NaN as it is."""
    ties, right = given.ties, given.top.correct
    wrong = ties.n - ties.correct
    below = (np.cumsum(wrong) - wrong / 2)[ties.inverse]
    above = (np.cumsum(ties.correct[::-1])[::-1] - ties.correct / 2)[ties.inverse]
    n_right, n_wrong, n = ties.correct.sum(), wrong.sum(), len(right)
    if not n_right * n_wrong:
        return np.full(n, math.nan)
    area = (right * below).sum() / (n_right * n_wrong)
    won = np.where(right == 1, below / n_wrong, above / n_right)
    share = np.where(right == 1, n_right, n_wrong) / n
    return area + (won - area) / share


def augrc_terms(given: Answers) -> np.ndarray:
    """Terms of the AUGRC, a function of AUROC and accuracy."""
    right = given.top.correct
    accuracy = right.mean() if len(right) else math.nan
    if accuracy in (0.0, 1.0):
        return (1 - right) / 2
    areas = auroc_terms(given)
    area = areas.mean()
    value = (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    by_accuracy = (1 - area) * (1 - 2 * accuracy) - (1 - accuracy)
    moved = -accuracy * (1 - accuracy) * (areas - area)
    return value + moved + by_accuracy * (right - accuracy)


def confidence_terms(given: Answers, *, right: bool) -> np.ndarray:
    """Terms of the mean confidence of right, or of wrong, answers."""
    confidence, correct = given.top
    chosen = correct == right
    share = chosen.mean() if len(chosen) else 0.0
    if not share:
        return np.full(len(chosen), math.nan)
    mean = confidence[chosen].mean()
    return mean + chosen * (confidence - mean) / share


def smooth_terms(given: Answers) -> np.ndarray:
    """Terms of `smooth.smooth_ece`, whose width of smoothing moves with it."""
    confidence, correct = given.top
    found = _linearise(given)
    moved = (confidence - correct) * found.sign - found.value
    return found.value + moved / (1 - found.slope)


# The languages of a reading are asked twice, one after the other.
@functools.lru_cache(maxsize=64)
def smooth_value(given: Answers) -> float:
    """Return `smooth.smooth_ece`, found once."""
    return smooth.smooth_ece(*given.top)


@functools.lru_cache(maxsize=64)
def _linearise(given: Answers) -> smooth.Linearised:
    confidence, correct = given.top
    return smooth.linearise(confidence, confidence - correct, smooth_value(given))


@functools.lru_cache(maxsize=1)
def calibrated_smooth(given: Answers) -> float:
    """Smooth ECE that a calibrated model of these confidences would show."""
    return smooth.calibrated_smooth_ece(given.top.confidence)


def calibrated_ece(given: Answers) -> float:
    """Mean ECE with bins of equal mass of a calibrated model of these confidences."""
    found = _Binned(given, mass_bins)
    return float(np.sqrt(2 / np.pi * found.calibrated).sum() / max(len(found.g), 1))


def calibrated_rms(given: Answers) -> float:
    """Root of the mean square of `binned.rms_ce` of a calibrated model."""
    found = _Binned(given, width_bins)
    squares = found.calibrated / np.maximum(found.n, 1)
    return math.sqrt(squares.sum() / max(len(found.g), 1))
