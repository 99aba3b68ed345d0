"""Inference on differences: intervals, bands, equivalence, multiple comparisons.

NumPy arrays in, numbers out.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

_FARTHEST = 1e300  # quantile; that of a very small probability may be infinite
_MOST_RATIO = 1e40  # of two distances; the sixth power of a larger one may overflow


class Noise(NamedTuple):
    """Standard errors of L numbers that were estimated together.

    Attributes:
        questions: [L] standard error for other questions.
        common: [L] standard error for other trainings that all L numbers share; 0
            where it is unknown or there is none.
        common_df: degrees of freedom of `common`, at least 1.
        specific: [L] standard error for other trainings that each number has for
            itself.
        specific_df: degrees of freedom of `specific`, at least 1.
    """

    questions: Any  # an array, or one number
    common: Any = 0.0
    common_df: float = 1.0
    specific: Any = 0.0
    specific_df: float = 1.0

    @property
    def se_seeds(self) -> Any:
        """Return the standard errors [L] for other trainings."""
        return np.hypot(self.common, self.specific)

    @property
    def se(self) -> Any:
        """Return the standard errors [L] for other questions and trainings."""
        return np.hypot(self.questions, self.se_seeds)


def max_t(replicates: np.ndarray, noise: Noise, *, confidence: float) -> float:
    """Return the quantile of the largest |t| of L paired differences.

    A band of so many standard errors holds all of them at once with the given
    confidence. Their correlation makes it narrower than Bonferroni's (Romano & Wolf
    2005). Each replicate of the questions gets one draw of the trainings' common part,
    which moves all differences together, and L draws of the specific parts; both follow
    Student's t distributions, because their variances are estimates.

    Args:
        replicates: [R, L].
        noise: of the L differences.
        confidence: such as 0.95.

    Returns:
        At least the quantile of one difference without noise of training.
    """
    spread = replicates.std(axis=0, ddof=1)
    shift = replicates - replicates.mean(axis=0)
    shift = np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0)
    whole = shift * noise.questions
    if np.any(noise.se_seeds):
        chance = fixed_uniforms(replicates.shape[0], replicates.shape[1] + 2)
        common = special.stdtrit(noise.common_df, chance[:, :1])
        # The specific parts share the estimate of their variance.
        tail = special.chdtri(noise.specific_df, chance[:, 1:2])
        specific = special.ndtri(chance[:, 2:]) * np.sqrt(noise.specific_df / tail)
        whole = whole + common * noise.common + specific * noise.specific
    scaled = np.divide(
        abs(whole), noise.se, out=np.zeros_like(whole), where=noise.se > 0
    )
    largest = float(np.quantile(scaled.max(axis=1), confidence))
    return max(largest, float(special.ndtri((1 + confidence) / 2)))


@functools.lru_cache(maxsize=4)
def fixed_uniforms(n: int, m: int) -> np.ndarray:
    """Return random numbers [n, m] between 0 and 1, the same in every call.

    NumPy keeps the raw words of Philox the same in all versions.
    """
    words = np.random.Philox(key=0).random_raw(n * m).reshape(n, m)
    return ((words >> 11) + 0.5) / 2.0**53


def band_width(
    replicates: np.ndarray, noise: Noise, *, confidence: float
) -> np.ndarray:
    """Return the half width [L] of the band that holds L differences at once.

    The arguments are those of `max_t`.
    """
    band = max_t(replicates, noise, confidence=confidence) * noise.se
    # A few draws of Student's t with 1 or 2 degrees of freedom miss its far tail.
    return np.maximum(band, half_width(noise, confidence=confidence))


def half_width(noise: Noise, *, confidence: ArrayLike) -> np.ndarray:
    """Return the half width of the two-sided interval around an estimate."""
    return distance(noise, (1 - np.asarray(confidence)) / 2)


def distance(noise: Noise, rare: ArrayLike) -> np.ndarray:
    """Return the distance that an estimate exceeds the truth by with a probability.

    Its square is the sum over questions and the two parts of training of

        z^2 s^2 + w (t^2 - z^2) s^2
        w = 1 / (1 + (k (z o)^2 / (t s)^2)^k), k = 1 + 2 / df

    with the quantiles z of the normal and t of Student's distribution (of questions t
    is z) and o^2 the sum of s^2 of the others: what t exceeds z by, because a variance
    is an estimate, counts by half where (t s)^2 is k times (z o)^2, and nearly whole
    where it is ten times. It is exact if one part is alone. With many degrees of
    freedom k is 1 and the excess is Welch's (1947) to first order; with few, k was
    chosen so that estimates err at most as often as `rare` says, and at 5 % at least
    half as often. The root of the sum of (t s)^2 (Graybill and Wang 1980) is up to a
    fifth larger at 95 % with two degrees of freedom. Degrees of freedom for the sum
    (Satterthwaite) would be many where two or three seeds agree by chance, and reject
    too often. With fewer than two, noisier questions may make it smaller.

    Args:
        noise: of L estimates.
        rare: the probability, up to 0.5.
    """
    # `stats` spends most of its time on checking arguments; `special` does not.
    z = -special.ndtri(rare)
    found = z * noise.se
    for se, df, other in (
        (noise.common, noise.common_df, noise.specific),
        (noise.specific, noise.specific_df, noise.common),
    ):
        reach = _reach(se, df, rare)
        # As a product of roots, because the square of a far quantile overflows.
        excess = np.sqrt(np.maximum(reach - z * se, 0.0)) * np.sqrt(reach + z * se)
        others = z * np.hypot(noise.questions, other)
        weight = _weigh(reach, others, 1 + 2 / np.asarray(df))
        found = np.hypot(found, excess * np.sqrt(weight))
    return found


def _weigh(reach: ArrayLike, others: ArrayLike, k: np.ndarray) -> np.ndarray:
    """Return by how much the excess of a part counts beside the others' reach."""
    reach, others = np.broadcast_arrays(reach, others)
    ratio = np.full(reach.shape, _MOST_RATIO)
    np.divide(others, reach, out=ratio, where=reach > others / _MOST_RATIO)
    return 1 / (1 + np.power(k * ratio**2, k))


def _reach(se: ArrayLike, df: ArrayLike, rare: ArrayLike) -> Any:
    """Return the quantile of Student's t times `se`."""
    if not np.any(se):
        return 0.0
    # Beyond its range SciPy returns infinity of either sign; 0 times it is no number.
    return np.minimum(abs(special.stdtrit(df, rare)), _FARTHEST) * se


def p_two_sided(centre: ArrayLike, noise: Noise) -> np.ndarray:
    """Return the p-value of "there is no difference"."""
    return 2 * _rarity(abs(np.asarray(centre, float)), noise)


def p_above(centre: ArrayLike, noise: Noise, bound: float) -> np.ndarray:
    """Return the one-sided p-value of "the difference is not above the bound"."""
    beyond = np.asarray(centre, float) - bound
    rare = _rarity(abs(beyond), noise)
    return np.where(beyond >= 0, rare, 1 - rare)


def _rarity(beyond: np.ndarray, noise: Noise) -> np.ndarray:
    """Return the probability that `distance` maps to these distances.

    By bisection, unless the noise is of questions alone.
    """
    if not np.any(noise.se_seeds):
        spread = np.broadcast_to(noise.questions, beyond.shape)
        steps = np.full(beyond.shape, np.inf)
        np.divide(beyond, spread, out=steps, where=spread > 0)
        return special.ndtr(-np.where(beyond > 0, steps, 0.0))
    low, high = np.zeros(beyond.shape), np.full(beyond.shape, 37.0)  # in normal steps
    for _ in range(44):
        middle = (low + high) / 2
        reached = distance(noise, special.ndtr(-middle)) < beyond
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    return special.ndtr(-high)


class Adjusted(NamedTuple):
    """M hypotheses after Holm's procedure.

    Attributes:
        p: [M] adjusted p-values.
        level: [M] level that each unadjusted p-value was compared with.
    """

    p: np.ndarray
    level: np.ndarray


def holm(p_values: ArrayLike, *, alpha: float = 0.05) -> Adjusted:
    """Adjust the p-values of M hypotheses for multiple testing (Holm 1979).

    The k-th smallest is multiplied by M - k + 1 and is not below the one before it.
    The procedure stops at the first that is not below alpha: it and all later ones are
    compared with the level of that step. Valid for any dependence between the tests.

    Args:
        p_values: [M].
        alpha: of the family.

    Example:
        >>> holm([0.01, 0.04, 0.03]).p.round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1)
    scaled = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1)
    last = min(int((scaled < alpha).sum()), max(len(order) - 1, 0))
    adjusted, level = np.empty(len(order)), np.empty(len(order))
    adjusted[order] = scaled
    level[order] = alpha / np.maximum(steps, steps[last : last + 1])
    return Adjusted(adjusted, level)
