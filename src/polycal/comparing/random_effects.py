"""Random-effects models of the effects of languages.

Input: effects by language with the covariance of their sampling errors, and a design
matrix; output: coefficients with standard errors, and how far languages differ.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration import METRICS

# Metrics whose effects are analysed over languages: fractions, on one scale.
SAMPLED = [
    name
    for name, metric in METRICS.items()
    if metric.may_carry_claim and metric.is_fraction
]
FEWEST = 6  # languages; with fewer, no interval over languages is worth its name


class Fit(NamedTuple):
    """A random-effects model that was fitted to L languages.

    Attributes:
        coefficients: [P].
        se: [P] standard errors, languages as a sample of languages.
        df: degrees of freedom of the standard errors, L - P.
        tau: standard deviation of the languages' own effects around the model.
    """

    coefficients: np.ndarray
    se: np.ndarray
    df: int
    tau: float


def fit(effects: ArrayLike, covariance: ArrayLike, design: ArrayLike) -> Fit:
    """Fit effect = design @ coefficients + u + e.

    e has the given covariance, which is not diagonal because all languages answer the
    same questions; u has variance tau^2, by which a language differs from the model.
    tau^2 is the moment estimate of DerSimonian and Laird 1986, generalised to a
    covariance: (Q - (L - P)) / trace(M), at least 0, with W the inverse covariance,
    M = W - W X (X'WX)^-1 X'W and Q = y'My. The coefficients are fitted by generalised
    least squares with covariance + tau^2 I. Standard errors are those of Knapp and
    Hartung 2003: multiplied by the root of y'My / (L - P), with M of these weights, if
    that is above 1; they belong to Student's t with L - P degrees of freedom, because
    tau^2 is an estimate from few languages.

    Args:
        effects: [L] such as the change of the gap by language.
        covariance: [L, L] of their sampling errors, of bootstrap replicates; it must
            have an inverse: more replicates than languages.
        design: [L, P] of full rank.

    Raises:
        ValueError: fewer than six languages, or a covariance that has no inverse.
    """
    y, x = np.asarray(effects, np.float64), np.asarray(design, np.float64)
    sigma = np.asarray(covariance, np.float64)
    df = len(y) - x.shape[1]
    if len(y) < FEWEST:
        raise ValueError(f"an interval over languages needs {FEWEST} of them")
    if sigma.shape != (len(y), len(y)) or np.linalg.matrix_rank(sigma) < len(y):
        raise ValueError(
            f"the covariance {sigma.shape} of {len(y)} languages has no inverse; "
            "it takes more replicates than languages"
        )
    weights = np.linalg.inv(sigma)
    _, residual = _least_squares(x, weights, y)
    variance = max((y @ residual @ y - df) / np.trace(residual), 0.0)
    whole = np.linalg.inv(sigma + variance * np.eye(len(y)))
    coefficients, residual = _least_squares(x, whole, y)
    scale = max(y @ residual @ y / df, 1.0)
    se = np.sqrt(scale * np.diag(np.linalg.inv(x.T @ whole @ x)))
    return Fit(coefficients, se, df, math.sqrt(variance))


def _least_squares(
    design: np.ndarray, weights: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients [P] and the matrix M [L, L] of the residuals."""
    hat = np.linalg.solve(design.T @ weights @ design, design.T @ weights)
    return hat @ y, weights - weights @ design @ hat
