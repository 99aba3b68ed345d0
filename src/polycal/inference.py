"""Verdicts on differences: intervals, equivalence, many comparisons at once.

NumPy arrays in, numbers out; what the differences are of is not known here.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Differences(NamedTuple):
    """L differences that were estimated together.

    Attributes:
        estimate: [L] as observed, the mean over seeds.
        centre: [L] of the interval: the estimate, without its bias if it has one.
        se: [L] standard error, over questions and seeds.
        df: [L] degrees of freedom; infinite where one seed was trained.
        sd_seeds: [L] standard deviation over seeds; NaN for one seed.
    """

    estimate: np.ndarray
    centre: np.ndarray
    se: np.ndarray
    df: np.ndarray
    sd_seeds: np.ndarray


def differences(
    seeds: np.ndarray, replicates: np.ndarray, *, biased: bool
) -> Differences:
    """Put the noise of questions and that of training together.

    The variance of a mean over S seeds is s_questions^2 + s_seeds^2 / S: the replicates
    know nothing of other trainings, and the spread over seeds, on the same questions,
    nothing of other questions. The degrees of freedom are Satterthwaite's, of which the
    question part has infinitely many.

    Args:
        seeds: [S, L] observed differences, one row a seed.
        replicates: [R, L] of their mean over seeds.
        biased: the replicates are biased once more than the estimate (ECE); then the
            centre is 2 estimate - mean of the replicates.
    """
    estimate = seeds.mean(axis=0)
    mean = replicates.mean(axis=0)
    question = replicates.std(axis=0, ddof=1)
    seed = np.full(len(estimate), np.nan)
    noise, df = np.zeros(len(estimate)), np.full(len(estimate), np.inf)
    if len(seeds) > 1:
        seed = seeds.std(axis=0, ddof=1)
        noise = seed**2 / len(seeds)
        total = question**2 + noise
        with np.errstate(divide="ignore", invalid="ignore"):
            df = np.where(noise > 0, total**2 / noise**2 * (len(seeds) - 1), np.inf)
    return Differences(
        estimate,
        2 * estimate - mean if biased else estimate,
        np.sqrt(question**2 + noise),
        df,
        seed,
    )


def max_t(replicates: np.ndarray, *, confidence: float) -> float:
    """Quantile of the largest |t| of L differences that are drawn together.

    A band of so many standard errors holds all of them at once with the given
    confidence; their correlation makes it narrower than Bonferroni's (Romano & Wolf
    2005).

    Args:
        replicates: [R, L].
        confidence: such as 0.95.
    """
    spread = replicates.std(axis=0, ddof=1)
    shift = abs(replicates - replicates.mean(axis=0))
    scaled = np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0)
    return float(np.quantile(scaled.max(axis=1), confidence))


def half_width(se: ArrayLike, df: ArrayLike, *, confidence: float) -> np.ndarray:
    """Of the two-sided interval around a centre."""
    return stats.t.ppf((1 + confidence) / 2, df) * np.asarray(se)


def p_two_sided(centre: ArrayLike, se: ArrayLike, df: ArrayLike) -> np.ndarray:
    """P-value of 'there is no difference'."""
    return 2 * stats.t.sf(abs(_t(centre, se)), df)


def p_above(
    centre: ArrayLike, se: ArrayLike, df: ArrayLike, bound: float
) -> np.ndarray:
    """P-value of 'the difference is not above the bound', one-sided."""
    return stats.t.sf(_t(np.asarray(centre) - bound, se), df)


def p_equivalence(
    centre: ArrayLike, se: ArrayLike, df: ArrayLike, margin: float
) -> np.ndarray:
    """P-value of 'the difference is beyond the margin, on either side'.

    Two one-sided tests (Schuirmann 1987); below alpha exactly where the interval of
    confidence 1 - 2 alpha lies inside the margins.
    """
    below = p_above(-np.asarray(centre), se, df, -margin)
    return np.maximum(p_above(centre, se, df, -margin), below)


def _t(distance: ArrayLike, se: ArrayLike) -> np.ndarray:
    """Distance in standard errors; without any error it is far, or none at all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(distance, float) / np.asarray(se, float)
    return np.nan_to_num(found, nan=0.0, posinf=np.inf, neginf=-np.inf)


def holm(p_values: ArrayLike) -> np.ndarray:
    """P-values of M hypotheses, adjusted so that none is rejected by mistake.

    The k-th smallest is multiplied by M - k + 1 and is not below the one before it
    (Holm 1979); valid however the tests depend on each other.

    Args:
        p_values: [M].

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted
