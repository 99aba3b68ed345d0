"""Does an effect depend on how much a language is written? Meta-regression."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.comparing.inference import Noise, half_width


class Slope(NamedTuple):
    """A line through the effects of languages.

    Attributes:
        intercept: the effect where the predictor is 0.
        slope: its change per unit of the predictor.
        se: standard error of the slope, languages as a sample of languages.
        ci_low: of the interval of the slope.
        ci_high: the same.
        p_value: two-sided, of no slope; normal.
        tau: standard deviation of the languages' own effects around the line.
        n_languages: how many.
    """

    intercept: float
    slope: float
    se: float
    ci_low: float
    ci_high: float
    p_value: float
    tau: float
    n_languages: int


def meta_regression(
    effects: ArrayLike,
    covariance: ArrayLike,
    predictor: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Slope:
    """Random-effects meta-regression of languages' effects on a predictor.

    effect = a + b x + u + e, with e of the given covariance, which is not diagonal
    because all languages answer the same questions, and u of variance tau^2, in which a
    language differs from what its x says. tau^2 is the moment estimate of DerSimonian
    and Laird 1986, generalised to a covariance: (Q - (L - 2)) / trace(P), at least 0,
    with W the inverse covariance, P = W - W X (X'WX)^-1 X'W and Q = y'Py. Then
    generalised least squares with covariance + tau^2 I: closed, no iteration.

    Args:
        effects: [L] e.g. the change of the gap by language.
        covariance: [L, L] of their sampling errors, of bootstrap replicates; it must
            have an inverse: more replicates than languages.
        predictor: [L] e.g. the Joshi class or the log of the token premium.
        confidence: of the slope's interval.

    Raises:
        ValueError: fewer than three languages, one predictor value only, or a
            covariance that has no inverse.

    Example:
        >>> found = meta_regression([0.1, 0.2, 0.3], np.eye(3) * 0.01, [0, 1, 2])
        >>> round(found.slope, 6), round(found.tau, 6)
        (0.1, 0.0)
    """
    y, x = np.asarray(effects, np.float64), np.asarray(predictor, np.float64)
    sigma = np.asarray(covariance, np.float64)
    if len(y) < 3 or len(np.unique(x)) < 2:
        raise ValueError("a slope needs three languages, and two values to differ in")
    if sigma.shape != (len(y), len(y)) or np.linalg.matrix_rank(sigma) < len(y):
        raise ValueError(
            f"the covariance {sigma.shape} of {len(y)} languages has no inverse; "
            "it takes more replicates than languages"
        )
    design = np.stack([np.ones(len(y)), x], axis=1)
    weights = np.linalg.inv(sigma)
    _, hat = _least_squares(design, weights, y)
    projection = weights - weights @ design @ hat
    excess = y @ projection @ y - (len(y) - design.shape[1])
    variance = max(excess / np.trace(projection), 0.0)
    whole = np.linalg.inv(sigma + variance * np.eye(len(y)))
    (intercept, slope), _ = _least_squares(design, whole, y)
    se = math.sqrt(np.linalg.inv(design.T @ whole @ design)[1, 1])
    p_value = math.erfc(abs(slope) / se / math.sqrt(2))
    reach = half_width(Noise(se, 0.0, 1), confidence=confidence)
    low, high = slope - reach, slope + reach
    numbers = (intercept, slope, se, low, high, p_value, math.sqrt(variance))
    return Slope(*map(float, numbers), len(y))


def _least_squares(
    design: np.ndarray, weights: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [P], and the matrix [P, L] that gives them from effects."""
    hat = np.linalg.solve(design.T @ weights @ design, design.T @ weights)
    return hat @ y, hat
