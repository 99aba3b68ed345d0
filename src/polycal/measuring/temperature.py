"""Temperature scaling of option scores, fitted on some languages, applied to others.

Scores are divided by the temperature T that minimises the negative log-likelihood of
the right options (Guo et al. 2017); the answers stay the same. T is cross-fitted by
question: each fold is scaled by the T of the other fold, in every language, since
parallel questions would leak otherwise.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike

from polycal.calibration.answers import of_gold

ENGLISH = "en"
FROM_ENGLISH = "ts_en"
CALIBRATORS = {  # name: in words, after "with"
    FROM_ENGLISH: "English's temperature",
    "ts_own": "each language's own temperature",
    "ts_pool": "the temperature of all languages",
    "ts_loo": "the temperature of the other languages",
}
LOWEST, HIGHEST = 0.01, 100.0  # temperatures; beyond them nothing changes any more
FOLDS = 2

_NEAR = 1e-6  # of log T, how far a search that ends at a limit may be from it
_NODES = 24  # of the slope's interpolation over log T
_STEPS = 60
_EXACT = 1e-10  # of log T


class FoldedScores(NamedTuple):
    """The scored questions of one language, each in a fold.

    Attributes:
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.
        fold: [N] 0 or 1, by `folds`.
    """

    scores: np.ndarray
    gold: np.ndarray
    fold: np.ndarray


def folds(question_ids: Iterable[str]) -> dict[str, int]:
    """Assign each question to one of two halves, 0 and 1, by a hash of its id.

    Args:
        question_ids: of all languages together; repeated ones count once.
    """

    def lot(name: str) -> bytes:
        return hashlib.blake2b(name.encode()).digest()

    drawn = sorted(set(question_ids), key=lot)
    return {name: position % FOLDS for position, name in enumerate(drawn)}


def fit_temperature(scores: ArrayLike, gold: ArrayLike) -> float:
    """Fit the temperature with the least negative log-likelihood.

    Newton's method on log(1/T) within a bracket: the slope rises in 1/T, so that there
    is one minimum.

    Args:
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.

    Returns:
        T; above 1 for an over-confident model. `LOWEST` where every answer is right,
        `HIGHEST` where the scores are worse than none, 1 where there is nothing
        to fit (no questions, or equal scores only).

    Example:
        >>> scores = np.log([[0.9, 0.1]] * 4)
        >>> round(fit_temperature(scores, [0, 0, 0, 1]), 6)  # 3 of 4: ln 9 / ln 3
        2.0
    """
    curve = _Curve(scores, gold)
    if curve.only_falls():  # and may do so too little for a slope above 0
        return LOWEST
    low, high = -np.log(HIGHEST), -np.log(LOWEST)
    log_inverse = 0.0
    for _ in range(_STEPS):
        slope, bend = curve.derivatives(log_inverse)
        if slope == 0:
            break
        low, high = (low, log_inverse) if slope > 0 else (log_inverse, high)
        target = log_inverse - slope / bend if bend > 0 else np.inf
        if not low < target < high:
            target = (low + high) / 2
        log_inverse, before = target, log_inverse
        if abs(log_inverse - before) < _EXACT:
            break
    return float(np.clip(np.exp(-log_inverse), LOWEST, HIGHEST))


def cross_fit(
    languages: Mapping[str, FoldedScores],
) -> dict[str, dict[str, np.ndarray]]:
    """Fit the temperatures of every calibrator, language and fold.

    `ts_en` is fitted on English, `ts_own` on the language itself, `ts_pool` on all
    languages together, `ts_loo` on all but the language itself.

    Args:
        languages: code -> its scored questions.

    Returns:
        Calibrator -> code -> [2] the temperature that divides the fold, fitted on the
        other one. Without `ts_en` where there is no English, and without `ts_loo`
        where there is one language only.
    """
    fitted: dict[str, dict[str, np.ndarray]] = {
        calibrator: {code: np.ones(FOLDS) for code in languages}
        for calibrator in CALIBRATORS
    }
    for fold in range(FOLDS):
        curves, own = {}, {}
        for code, scored in languages.items():
            others = scored.fold != fold
            curves[code] = _Curve(scored.scores[others], scored.gold[others])
            own[code] = fit_temperature(scored.scores[others], scored.gold[others])
        pooled, without = _pool(curves, own)
        for code in languages:
            fitted["ts_own"][code][fold] = own[code]
            fitted[FROM_ENGLISH][code][fold] = own.get(ENGLISH, np.nan)
            fitted["ts_pool"][code][fold] = pooled
            fitted["ts_loo"][code][fold] = without[code]
    if ENGLISH not in languages:
        del fitted[FROM_ENGLISH]
    if len(languages) < 2:
        del fitted["ts_loo"]
    return fitted


def is_at_limit(temperatures: ArrayLike) -> np.ndarray:
    """Return where a fit ended at a limit: the best temperature lies beyond it."""
    logs = np.log(np.asarray(temperatures, np.float64))
    return (logs > np.log(HIGHEST) - _NEAR) | (logs < np.log(LOWEST) + _NEAR)


def rescale(scored: FoldedScores, temperatures: np.ndarray) -> np.ndarray:
    """Return the scores [N, K] divided by the temperature of each question's fold.

    Args:
        scored: one language.
        temperatures: [2] by fold.
    """
    return scored.scores / temperatures[scored.fold][:, None]


class _Curve:
    """The negative log-likelihood of some questions as a function of log(1/T)."""

    def __init__(self, scores: ArrayLike, gold: ArrayLike) -> None:
        scores, gold = np.asarray(scores, np.float64), np.asarray(gold, np.int64)
        shifted = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
        self._right = of_gold(shifted, gold) if len(gold) else np.zeros(0)
        self._shifted = np.ascontiguousarray(shifted.T)  # sums along the long axis
        self._finite = np.where(np.isneginf(self._shifted), 0.0, self._shifted)

    def only_falls(self) -> bool:
        """Return whether no option is better than a right one: T goes to 0."""
        return bool((self._right == 0).all() and (self._finite < 0).any())

    def derivatives(self, log_inverse: float) -> tuple[float, float]:
        """Return the first and second derivative at log(1/T), summed over questions."""
        inverse = np.exp(log_inverse)
        weights = np.exp(inverse * self._shifted)
        weights /= weights.sum(axis=0)
        weighted = weights * self._finite
        mean = weighted.sum(axis=0)
        variance = (weighted * self._finite).sum(axis=0) - mean**2
        slope = inverse * (mean - self._right).sum()
        return slope, slope + inverse**2 * variance.sum()


def _pool(
    curves: Mapping[str, _Curve], own: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    """Fit the temperature of all languages together, and of all but each of them.

    A sum of curves has its minimum between the lowest and the highest minimum of its
    parts. Each language's slope is interpolated there once, and sums of slopes are sums
    of coefficients: leaving out each language takes no further pass over the data.
    """
    minima = -np.log(list(own.values()))
    low, high = minima.min(), minima.max()
    if high - low < _EXACT:
        same = float(np.exp(-low))
        return same, dict.fromkeys(curves, same)
    slopes = {
        code: Chebyshev.interpolate(
            np.vectorize(lambda x, curve=curve: curve.derivatives(x)[0]),
            _NODES - 1,
            domain=[low, high],
        )
        for code, curve in curves.items()
    }
    total: Any = sum(slopes.values())
    rest = {code: _root(total - slope, low, high) for code, slope in slopes.items()}
    return _root(total, low, high), rest


def _root(slope: Chebyshev, low: float, high: float) -> float:
    """Return the temperature at which a rising slope is 0, by bisection."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))
