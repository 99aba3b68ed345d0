"""Inference on differences: intervals, bands, equivalence, multiple comparisons.

NumPy arrays in, numbers out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


class Noise(NamedTuple):
    """Standard errors of L numbers that were estimated together.

    Attributes:
        questions: [L] standard error for other questions.
        training: [L] standard error for other seeds; 0 where one seed was trained.
        df: of `training`: seeds - 1, or 1 where it is 0.
    """

    questions: np.ndarray
    training: np.ndarray
    df: int


class Differences(NamedTuple):
    """L differences that were estimated together.

    Attributes:
        estimate: [L] as observed, the mean over seeds.
        noise: of the estimates.
        sd_seeds: [L] standard deviation over seeds; NaN for one seed.
    """

    estimate: np.ndarray
    noise: Noise
    sd_seeds: np.ndarray


def differences(seeds: np.ndarray, replicates: np.ndarray) -> Differences:
    """Combine the noise of questions and of training.

    The replicates hold no noise of training, and the spread over seeds, on the same
    questions, no noise of questions.

    Args:
        seeds: [S, L] observed differences, one row a seed.
        replicates: [R, L] of their mean over seeds.
    """
    questions = replicates.std(axis=0, ddof=1)
    if len(seeds) == 1:
        sd, training = np.full(len(questions), np.nan), np.zeros(len(questions))
    else:
        sd = seeds.std(axis=0, ddof=1)
        training = sd / np.sqrt(len(seeds))
    noise = Noise(questions, training, max(len(seeds) - 1, 1))
    return Differences(seeds.mean(axis=0), noise, sd)


def max_t(replicates: np.ndarray, *, confidence: float) -> float:
    """Return the quantile of the largest |t| of L paired differences.

    A band of so many standard errors holds all of them at once with the given
    confidence. Their correlation makes it narrower than Bonferroni's (Romano & Wolf
    2005).

    Args:
        replicates: [R, L].
        confidence: such as 0.95.
    """
    spread = replicates.std(axis=0, ddof=1)
    shift = abs(replicates - replicates.mean(axis=0))
    scaled = np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0)
    return float(np.quantile(scaled.max(axis=1), confidence))


def band_width(
    replicates: np.ndarray, noise: Noise, *, confidence: float
) -> np.ndarray:
    """Return the half width [L] of the band that holds L differences at once.

    It is an interval of one difference with `max_t` as its quantile.

    Args:
        replicates: [R, L].
        noise: of the L differences.
        confidence: such as 0.95.
    """
    return distance(noise, special.ndtr(-max_t(replicates, confidence=confidence)))


def half_width(noise: Noise, *, confidence: float) -> np.ndarray:
    """Return the half width of the two-sided interval around an estimate."""
    return distance(noise, (1 - confidence) / 2)


def distance(noise: Noise, rare: ArrayLike) -> np.ndarray:
    """Return the distance that an estimate exceeds the truth by with a probability.

    It is the root of (z s_questions)^2 + (t s_training)^2 with the quantiles of the
    normal and of Student's t distribution: exact if either is 0, and a little too large
    between (Graybill and Wang 1980). Degrees of freedom for the sum (Satterthwaite)
    would be many where two or three seeds agree by chance, and reject too often.

    Args:
        noise: of L estimates.
        rare: the probability, up to 0.5.
    """
    # `stats` spends most of its time on checking arguments; `special` does not.
    by_questions = -special.ndtri(rare) * noise.questions
    return np.hypot(by_questions, -special.stdtrit(noise.df, rare) * noise.training)


def p_two_sided(centre: ArrayLike, noise: Noise) -> np.ndarray:
    """Return the p-value of "there is no difference"."""
    return 2 * _rarity(abs(np.asarray(centre, float)), noise)


def p_above(centre: ArrayLike, noise: Noise, bound: float) -> np.ndarray:
    """Return the one-sided p-value of "the difference is not above the bound"."""
    beyond = np.asarray(centre, float) - bound
    rare = _rarity(abs(beyond), noise)
    return np.where(beyond >= 0, rare, 1 - rare)


def p_equivalence(
    low: ArrayLike, high: ArrayLike, noise: Noise, margin: float
) -> np.ndarray:
    """Return the p-value of "the difference is beyond the margin, on either side".

    Two one-sided tests (Schuirmann 1987); below alpha exactly where the interval of
    confidence 1 - 2 alpha lies inside the margins.

    Args:
        low: least value of the difference without noise.
        high: largest value; the same as `low` if the estimate has no bias.
        noise: of the estimate.
        margin: differences below it do not matter.
    """
    below = p_above(-np.asarray(high), noise, -margin)
    return np.maximum(p_above(low, noise, -margin), below)


def _rarity(beyond: np.ndarray, noise: Noise) -> np.ndarray:
    """Return the probability that `distance` maps to these distances, by bisection."""
    low, high = np.zeros(beyond.shape), np.full(beyond.shape, 37.0)  # in normal steps
    for _ in range(60):
        middle = (low + high) / 2
        reached = distance(noise, special.ndtr(-middle)) < beyond
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    return special.ndtr(-high)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust the p-values of M hypotheses for multiple testing (Holm 1979).

    The k-th smallest is multiplied by M - k + 1 and is not below the one before it.
    Valid for any dependence between the tests.

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
