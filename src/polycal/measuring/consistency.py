"""Consistency of a model's answers to the same questions in two languages."""

import numpy as np
from numpy.typing import ArrayLike

CONFIDENT = 0.8


def consistency(probs: ArrayLike, reference: ArrayLike) -> dict[str, float]:
    """Compare the answers in one language with those to the same questions.

    Args:
        probs: [N, K] probabilities of the options in the language.
        reference: [N, K] those of the same options in the other language, English.

    Returns:
        `agreement`: share of equal answers. `confident_disagreement`: share of the
        questions that are answered with a confidence above `CONFIDENT`, and otherwise
        than in the other language. Both NaN for no questions.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> consistency([[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.4, 0.6]])
        {'agreement': 0.5, 'confident_disagreement': 0.5}
    """
    p, q = np.asarray(probs, np.float64), np.asarray(reference, np.float64)
    if p.shape != q.shape or p.ndim != 2:
        raise ValueError(
            f"both languages need the same questions and options: {p.shape}, {q.shape}"
        )
    if not len(p):
        return dict.fromkeys(("agreement", "confident_disagreement"), float("nan"))
    same = p.argmax(axis=1) == q.argmax(axis=1)
    confident = p.max(axis=1) > CONFIDENT
    return {
        "agreement": float(same.mean()),
        "confident_disagreement": float((confident & ~same).mean()),
    }
