"""Proper scores, which calibration and discrimination both improve, and their parts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.answers import of_gold
from polycal.calibration.bins import Blocks, blocks, checked


class Decomposition(NamedTuple):
    """The top-label Brier score as miscalibration - discrimination + uncertainty.

    Attributes:
        miscalibration: what recalibrating would gain; at least 0.
        discrimination: what the confidences tell about correctness; at least 0.
        uncertainty: the score of a constant confidence that equals the accuracy.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float


def brier(probs: ArrayLike, gold: ArrayLike) -> float:
    """Brier score over all options: mean_i sum_k (p_ik - [k = gold_i])^2, 0 to 2.

    Brier 1950, with options that a question lacks at probability 0.
    """
    return float(brier_terms(probs, gold).mean())


def brier_terms(probs: ArrayLike, gold: ArrayLike) -> np.ndarray:
    """Return the Brier score of each question [N]; `brier` is their mean."""
    probs, gold = np.asarray(probs, np.float64), np.asarray(gold, np.int64)
    return (probs**2).sum(axis=1) - 2 * of_gold(probs, gold) + 1


def brier_top(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Brier score of the chosen option: mean_i (confidence_i - correct_i)^2, 0 to 1."""
    confidence, correct = checked(confidence, correct)
    return float(((confidence - correct) ** 2).mean()) if len(correct) else float("nan")


def nll(scores: ArrayLike, gold: ArrayLike) -> float:
    """Mean negative log-likelihood of the right option, in nats.

    From scores and not from probabilities, so that a very small probability is not
    rounded to zero first.
    """
    return float(nll_terms(scores, gold).mean())


def nll_terms(scores: ArrayLike, gold: ArrayLike) -> np.ndarray:
    """Return the negative log-likelihood of each question [N] in nats."""
    scores, gold = np.asarray(scores, np.float64), np.asarray(gold, np.int64)
    best = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - best).sum(axis=1)) + best[:, 0]
    return total - of_gold(scores, gold)


def corp(
    confidence: ArrayLike, correct: ArrayLike, *, ties: Blocks | None = None
) -> Decomposition:
    """CORP decomposition of the top-label Brier score, Dimitriadis et al. 2021.

    With S the score of the confidences, C that of their isotonic recalibration and R
    that of the mean correctness: miscalibration S - C, discrimination R - C,
    uncertainty R; no bins, no tuning parameter (arXiv 2008.03033).

    Example:
        >>> parts = corp([0.9, 0.9, 0.6, 0.6], [1, 1, 0, 1])
        >>> round(parts.miscalibration - parts.discrimination + parts.uncertainty, 6)
        0.135
    """
    confidence, correct = checked(confidence, correct)
    if not len(correct):
        return Decomposition(*[float("nan")] * 3)
    found = ties or blocks(confidence, correct)
    fitted = isotonic(found.correct / found.n, found.n)[found.inverse]
    recalibrated = ((fitted - correct) ** 2).mean()
    constant = ((correct.mean() - correct) ** 2).mean()
    given = ((confidence - correct) ** 2).mean()
    return Decomposition(
        float(given - recalibrated), float(constant - recalibrated), float(constant)
    )


def isotonic(values: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """The rising sequence nearest to the values: weighted least squares.

    Args:
        values: [D] in order, at least one.
        weights: [D] above 0.

    Returns:
        [D] the fitted values, which never fall.

    Example:
        >>> isotonic([1.0, 3.0, 2.0], [1, 1, 1]).tolist()
        [1.0, 2.5, 2.5]
    """
    from scipy.optimize import isotonic_regression  # 0.3 s to import

    return isotonic_regression(values, weights=weights).x
