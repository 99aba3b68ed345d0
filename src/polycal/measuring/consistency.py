"""Consistency of a model's answers to the same questions in two languages."""

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.bins import mean_rank

CONFIDENT = 0.8


def consistency(probs: ArrayLike, reference: ArrayLike) -> dict[str, float]:
    """Compare the answers in one language with those to the same questions.

    Args:
        probs: [N, K] probabilities of the options in the language.
        reference: [N, K] those of the same options in the other language, English.

    Returns:
        `agreement`: share of equal answers. `divergence`: mean Jensen-Shannon
        divergence of the options' probabilities in bits, 0 to 1. `rank_correlation`:
        Spearman's, of the confidences; NaN where one of them never changes.
        `confident_disagreement`: share of the questions that are answered with a
        confidence above `CONFIDENT`, and otherwise than in the other language.
        All NaN for no questions.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> values = consistency([[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.4, 0.6]])
        >>> values["agreement"], values["confident_disagreement"]
        (0.5, 0.5)
    """
    p, q = np.asarray(probs, np.float64), np.asarray(reference, np.float64)
    if p.shape != q.shape or p.ndim != 2:
        raise ValueError(
            f"both languages need the same questions and options: {p.shape}, {q.shape}"
        )
    names = ("agreement", "divergence", "rank_correlation", "confident_disagreement")
    if not len(p):
        return dict.fromkeys(names, float("nan"))
    same = p.argmax(axis=1) == q.argmax(axis=1)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    confidence = p.max(axis=1)
    values = (
        same.mean(),
        divergence.mean(),
        _spearman(confidence, q.max(axis=1)),
        ((confidence > CONFIDENT) & ~same).mean(),
    )
    return dict(zip(names, map(float, values), strict=True))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Kullback-Leibler divergence [N] in bits; q > 0 wherever p > 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return (p * np.log2(ratio)).sum(axis=1)


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation of the ranks; equal values share their mean rank."""
    x, y = (ranks - ranks.mean() for ranks in (mean_rank(x), mean_rank(y)))
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale else float("nan")
