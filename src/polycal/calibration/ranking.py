"""Does confidence rank the answers? Errors when the least confident are held back.

Calibration plays no part here: every number stays the same when the confidences are
transformed without changing their order. Questions of equal confidence count as if
they came in every order equally often.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.calibration.bins import Blocks, blocks, checked


class RiskCoverage(NamedTuple):
    """What happens when only the most confident answers are given.

    Attributes:
        coverage: [N] share of the questions that is answered: 1/N, ..., 1.
        risk: [N] share of errors among the answers given.
    """

    coverage: np.ndarray
    risk: np.ndarray


def auroc(
    confidence: ArrayLike, correct: ArrayLike, *, ties: Blocks | None = None
) -> float:
    """P(a right answer has more confidence than a wrong one), ties counting half.

    The area under the ROC curve of confidence as a predictor of correctness.

    Returns:
        From 0 to 1, 0.5 if confidence tells nothing; NaN where all answers are right
        or all are wrong.

    Example:
        >>> auroc([0.9, 0.7, 0.7, 0.4], [1, 1, 0, 0])
        0.875
    """
    found = ties or blocks(*checked(confidence, correct))
    wrong = found.n - found.correct
    below = np.cumsum(wrong) - wrong / 2
    pairs = found.correct.sum() * wrong.sum()
    return float((found.correct * below).sum() / pairs) if pairs else math.nan


def risk_coverage(
    confidence: ArrayLike, correct: ArrayLike, *, ties: Blocks | None = None
) -> RiskCoverage:
    """The risk-coverage curve, El-Yaniv and Wiener 2010."""
    errors = _errors(confidence, correct, ties)
    given = np.arange(1, len(errors) + 1)
    return RiskCoverage(given / max(len(errors), 1), np.cumsum(errors) / given)


def aurc(
    confidence: ArrayLike, correct: ArrayLike, *, ties: Blocks | None = None
) -> float:
    """Area under the risk-coverage curve: the mean risk over coverages 1/N, ..., 1.

    Geifman et al. 2019.

    Returns:
        A fraction, lower is better; NaN for no questions.
    """
    risk = risk_coverage(confidence, correct, ties=ties).risk
    return float(risk.mean()) if len(risk) else math.nan


def augrc(
    confidence: ArrayLike, correct: ArrayLike, *, ties: Blocks | None = None
) -> float:
    """Area under the generalised risk-coverage curve, Traub et al. 2024.

    The generalised risk is the share of *all* questions that are answered, and wrongly
    so. The area (by trapezoids from coverage 0) is (1 - AUROC) a (1 - a) + (1 - a)^2/2
    with the accuracy a: unlike AURC it gives the most confident errors no extra weight.

    Returns:
        From 0 to 0.5, lower is better; NaN for no questions.
    """
    errors = _errors(confidence, correct, ties)
    if not len(errors):
        return math.nan
    risk = np.cumsum(errors)
    return float((risk - errors / 2).sum() / len(errors) ** 2)


def accuracy_at_coverage(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    coverage: float,
    ties: Blocks | None = None,
) -> float:
    """Accuracy of the most confident answers.

    Args:
        confidence: [N] from 0 to 1.
        correct: [N] 0 or 1.
        coverage: their share, above 0; rounded up to whole questions.
        ties: `blocks` of the two, where they are known.

    Raises:
        ValueError: as `reliability_bins`, or the coverage is not in (0, 1].

    Example:
        >>> accuracy_at_coverage([0.9, 0.7, 0.7, 0.4], [1, 1, 0, 0], coverage=0.5)
        0.75
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"a coverage of {coverage} is not above 0 and up to 1")
    errors = _errors(confidence, correct, ties)
    # 0.1 * 30 is 3.0000000000000004, and means three questions.
    given = math.ceil(coverage * len(errors) - 1e-9)
    return float(1 - errors[:given].mean()) if given else math.nan


def _errors(
    confidence: ArrayLike, correct: ArrayLike, ties: Blocks | None
) -> np.ndarray:
    """Errors [N] from the most confident down; equal ones share their mean error."""
    found = ties or blocks(*checked(confidence, correct))
    return np.repeat(1 - found.correct[::-1] / found.n[::-1], found.n[::-1])
