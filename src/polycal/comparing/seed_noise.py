"""Noise of training: variance components over seeds, pooled over smoothing values.

Input: values by seed and language of the conditions of one model and SFT set; output:
the standard errors of their means over seeds.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from polycal.comparing.inference import Noise, fixed_uniforms

# Effects of two smoothing values share the order of examples and perhaps a reference.
_SHARED = 0.5  # least correlation of their errors over seeds


class SeedVariance(NamedTuple):
    """Variance over trainings of a number of each language and of each mean of them.

    Attributes:
        common: [L + V] what all languages share; of a mean, its whole variance.
        common_df: degrees of freedom of `common`; 0 where no condition has two seeds.
        specific: [L + V] what a language has for itself; 0 of a mean.
        specific_df: degrees of freedom of `specific`, at least 1.
    """

    common: np.ndarray
    common_df: float
    specific: np.ndarray
    specific_df: float

    @property
    def known(self) -> bool:
        """Return whether there are seeds that differ."""
        return self.common_df > 0

    def widen(self, questions: float, n_seeds: int) -> Noise:
        """Return the noise of one mean over seeds, of a single number.

        Args:
            questions: standard error for other questions.
            n_seeds: that were averaged.
        """
        common = math.sqrt(self.common[0] / n_seeds)
        return Noise(questions, common, max(self.common_df, 1.0))

    def noise(self, questions: np.ndarray, n_seeds: int) -> Noise:
        """Return the noise of a mean over seeds.

        Args:
            questions: [L + V] standard errors for other questions.
            n_seeds: that were averaged.
        """
        return Noise(
            questions,
            np.sqrt(self.common / n_seeds),
            max(self.common_df, 1.0),
            np.sqrt(self.specific / n_seeds),
            self.specific_df,
        )


def pool_seeds(conditions: Sequence[np.ndarray], means: np.ndarray) -> SeedVariance:
    """Estimate how much numbers vary over trainings, from several conditions.

    Analysis of variance with a random seed (Searle, Casella and McCulloch 1992, chapter
    4). With x[s, l] of seed s in language l and m[s] its mean over languages, the
    common variance is that of m, and the specific one that of x - m, which is the
    same for all languages. Both are pooled over the conditions, which are taken to
    vary alike. K conditions of S seeds have K (S - 1) degrees of freedom if they are
    independent. Their errors correlate, because they share the order of the examples
    and perhaps the reference: by r = 1/2, or by more where x - m shows it, which has
    many more values than m. That leaves K^2 (S - 1) / sum of r^2 over all pairs, each
    with itself included (Satterthwaite 1946).
    The mean of some languages varies as it does itself, without any such model.

    Args:
        conditions: [S, L] each; S may differ.
        means: [L, V] weights of V means over languages.

    Example:
        >>> seeds = np.array([[0.0, 0.0], [2.0, 0.0]])
        >>> found = pool_seeds([seeds], np.full((2, 1), 0.5))
        >>> found.common.tolist(), found.specific.tolist(), found.common_df
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.0], 1.0)
    """
    n, n_means = means.shape
    several = [values for values in conditions if len(values) > 1]
    df = sum(len(values) - 1 for values in several)
    if not df:
        zeros = np.zeros(n + n_means)
        return SeedVariance(zeros, 0.0, zeros, 1.0)
    squares, rests = np.zeros(1 + n_means), []
    for values in several:
        errors = values - values.mean(axis=0)
        shared = errors.mean(axis=1, keepdims=True)
        squares += (np.hstack([shared, errors @ means]) ** 2).sum(axis=0)
        rests.append(errors - shared)
    squares /= df
    overlap = float((_correlate(rests) ** 2).sum()) / len(rests)
    specific = sum(float((rest**2).sum()) for rest in rests)
    specific /= df * max(n - 1, 1)  # of x - m, of which m takes one degree of freedom
    return SeedVariance(
        np.concatenate([np.full(n, squares[0]), squares[1:]]),
        df / overlap,
        np.concatenate([np.full(n, specific * (1 - 1 / n)), np.zeros(n_means)]),
        max(df * (n - 1) / overlap, 1.0),
    )


def _correlate(rests: Sequence[np.ndarray]) -> np.ndarray:
    """Return by how much conditions correlate [K, K], at least `_SHARED`."""
    least = np.maximum(np.eye(len(rests)), _SHARED)
    if len({rest.shape for rest in rests}) > 1:  # other seeds
        return least
    flat = np.stack([rest.ravel() for rest in rests])
    lengths = np.linalg.norm(flat, axis=1)
    scale = np.outer(lengths, lengths)
    found = np.divide(abs(flat @ flat.T), scale, out=least.copy(), where=scale > 0)
    return np.clip(found, least, 1.0)


def pool_means(conditions: Iterable[np.ndarray]) -> SeedVariance:
    """Estimate how much one number varies over trainings, from several conditions.

    Args:
        conditions: [S] each; S may differ.
    """
    return pool_seeds([values[:, None] for values in conditions], np.ones((1, 0)))


def add_training(
    draws: np.ndarray, seeds: Sequence[np.ndarray | None], *, stream: int = 0
) -> np.ndarray:
    """Add the noise of training to replicates [R, D], if several seeds show it.

    Args:
        draws: replicates of one number of D conditions, means over seeds.
        seeds: [S] values by seed of each; None for a base model, which is not trained.
        stream: which random numbers to take: others for another metric.
    """
    n, d = draws.shape
    variance = pool_means(values for values in seeds if values is not None)
    if not variance.known:
        return draws
    uniforms = fixed_uniforms(n, (stream + 1) * d)[:, stream * d :]
    errors = [
        0.0 if values is None else math.sqrt(variance.common[0] / len(values))
        for values in seeds
    ]
    return draws + special.stdtrit(variance.common_df, uniforms) * errors
