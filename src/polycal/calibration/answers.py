"""What a question is answered with: probabilities of its options, choice, ties."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.bins import Blocks, blocks


class TopLabel(NamedTuple):
    """The answers of N questions.

    Attributes:
        confidence: [N] probability of the most probable option.
        correct: [N] 1.0 where that option is the right one, else 0.0.
    """

    confidence: np.ndarray
    correct: np.ndarray


@dataclass(frozen=True, eq=False)
class Answers:
    """N questions with all that any metric of them needs.

    Attributes:
        scores: [N, K] nats; -inf where a question has fewer than K options.
        probs: [N, K] their softmax.
        gold: [N] index of the right option.
        top: confidence and correctness of the most probable option.
    """

    scores: np.ndarray
    probs: np.ndarray
    gold: np.ndarray
    top: TopLabel

    @functools.cached_property
    def ties(self) -> Blocks:
        """Questions of equal confidence, which every ranking begins with."""
        return blocks(*self.top)


def answer(scores: ArrayLike, gold: ArrayLike) -> Answers:
    """Probabilities, confidence and correctness of scored questions.

    Raises:
        ValueError: as `probabilities`, or a right option is missing.
    """
    scores, gold = np.asarray(scores, np.float64), np.asarray(gold, np.int64)
    probs = probabilities(scores)
    if np.isneginf(of_gold(scores, gold)).any():
        raise ValueError("a question's right option has no score")
    return Answers(scores, probs, gold, top_label(probs, gold))


def of_gold(values: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """The value [N] of each question's right option, from [N, K].

    Raises:
        ValueError: an index lies outside 0 to K - 1.
    """
    if gold.shape != values.shape[:1]:
        raise ValueError(f"{len(values)} questions need as many answers: {gold.shape}")
    if gold.size and not (gold.min() >= 0 and gold.max() < values.shape[1]):
        raise ValueError(f"a right option is not one of {values.shape[1]}")
    return np.take_along_axis(values, gold[:, None], axis=1)[:, 0]


def probabilities(scores: ArrayLike) -> np.ndarray:
    """Softmax over the options of each question.

    With the mean log-probability of an option's tokens as its score, this is the
    normalised inverse perplexity: exp(L/T) / sum exp(L/T) = (1/ppl) / sum (1/ppl).

    Returns:
        [N, K] probabilities; 0 where the score is -inf.

    Raises:
        ValueError: a score is NaN or +inf, or a question has no finite score.
    """
    scores = np.asarray(scores, np.float64)
    best = scores.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise ValueError("every question needs a finite best score")
    weights = np.exp(scores - best)
    return weights / weights.sum(axis=1, keepdims=True)


def top_label(probs: ArrayLike, gold: ArrayLike) -> TopLabel:
    """The confidence and correctness of the most probable option of each question.

    Of equally probable options the first one is taken (as `lm_eval` does); `tie_rate`
    tells how often that mattered, `tie_credit` what another rule would give.

    Raises:
        ValueError: an index lies outside 0 to K - 1, or there is not one per question.
    """
    probs, gold = np.asarray(probs, np.float64), np.asarray(gold, np.int64)
    of_gold(probs, gold)
    correct = (probs.argmax(axis=1) == gold).astype(np.float64)
    # A sum of float64 may exceed 1 by one rounding step; a probability does not.
    return TopLabel(np.minimum(probs.max(axis=1), 1.0), correct)


def tie_credit(probs: ArrayLike, gold: ArrayLike) -> np.ndarray:
    """What each answer is worth if the most probable options share it.

    Returns:
        [N] 1 / number of equally probable best options where the right one is among
        them, else 0: the expected correctness of a choice by lot. Its mean is HELM's
        accuracy before HELM rounds it down.

    Example:
        >>> tie_credit([[0.4, 0.4, 0.2], [0.1, 0.6, 0.3]], [1, 1]).tolist()
        [0.5, 1.0]
    """
    best = _best(probs)
    right = of_gold(best, np.asarray(gold, np.int64))
    return right / best.sum(axis=1)


def tie_rate(probs: ArrayLike) -> float:
    """Share of the questions with several equally probable best options."""
    return _mean(_best(probs).sum(axis=1) > 1)


def letter_shares(probs: ArrayLike) -> np.ndarray:
    """How often each place is the answer: [K] shares of the questions.

    A model that answers one letter whatever is asked has a share near 1.
    """
    probs = np.asarray(probs, np.float64)
    chosen = np.bincount(probs.argmax(axis=1), minlength=probs.shape[1])
    return chosen / len(probs)


def chance(scores: ArrayLike) -> float:
    """Mean of 1 / number of options: the accuracy of guessing.

    It is also the lowest possible mean confidence.
    """
    return _mean(1 / (~np.isneginf(np.asarray(scores, np.float64))).sum(axis=1))


def above_chance(value: float, guessing: float) -> float:
    """Accuracy or confidence on a scale where guessing is 0: (value - c) / (1 - c).

    Args:
        value: from 0 to 1.
        guessing: c, from 0 to 1; NaN is returned for 1 (a single option).
    """
    return (value - guessing) / (1 - guessing) if guessing < 1 else float("nan")


def _best(probs: ArrayLike) -> np.ndarray:
    """1.0 for each option that is as probable as the most probable one: [N, K]."""
    probs = np.asarray(probs, np.float64)
    return (probs == probs.max(axis=1, keepdims=True)).astype(np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
