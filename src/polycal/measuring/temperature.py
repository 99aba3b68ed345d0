"""Temperature scaling of option scores, fitted on some languages, applied to others.

What a tuned model's confidence can be repaired with afterwards, by one number: the
scores are divided by a temperature T that minimises the negative log-likelihood of the
right options (Guo et al. 2017). Answers and their order stay what they are. T is
cross-fitted by question: the questions of a fold are scaled by what was fitted on the
other fold, in every language, since parallel questions would leak otherwise.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike

from polycal.calibration.answers import of_gold

ENGLISH = "en"
CALIBRATORS = ("ts_en", "ts_own", "ts_pool", "ts_loo")
LOWEST, HIGHEST = 0.01, 100.0  # temperatures; beyond them nothing changes any more
FOLDS = 2

_NODES = 24  # of the slope's interpolation over log T
_STEPS = 60
_EXACT = 1e-10  # of log T


class Scored(NamedTuple):
    """The scored questions of one language.

    Attributes:
        scores: [N, K] nats; -inf where a question has fewer than K options.
        gold: [N] index of the right option.
        fold: [N] 0 or 1, by `folds`.
    """

    scores: np.ndarray
    gold: np.ndarray
    fold: np.ndarray


def folds(question_ids: Iterable[str]) -> dict[str, int]:
    """A fold for each question, by chance and always the same: halves, 0 and 1.

    Args:
        question_ids: of all languages together; repeated ones count once.
    """

    def lot(name: str) -> bytes:
        return hashlib.blake2b(name.encode()).digest()

    drawn = sorted(set(question_ids), key=lot)
    return {name: place % FOLDS for place, name in enumerate(drawn)}


def fit_temperature(scores: ArrayLike, gold: ArrayLike) -> float:
    """The temperature with the least negative log-likelihood.

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
    place = 0.0
    for _ in range(_STEPS):
        slope, bend = curve.derivatives(place)
        if slope == 0:
            break
        low, high = (low, place) if slope > 0 else (place, high)
        target = place - slope / bend if bend > 0 else np.inf
        if not low < target < high:
            target = (low + high) / 2
        place, before = target, place
        if abs(place - before) < _EXACT:
            break
    return float(np.clip(np.exp(-place), LOWEST, HIGHEST))


def cross_fit(languages: Mapping[str, Scored]) -> dict[str, dict[str, np.ndarray]]:
    """The temperatures of every calibrator, language and fold.

    `ts_en` is fitted on English, `ts_own` on the language itself, `ts_pool` on all
    languages together, `ts_loo` on all but the language itself.

    Args:
        languages: code -> its scored questions.

    Returns:
        Calibrator -> code -> [2] the temperature that the fold is divided by, fitted
        on the other one. Without `ts_en` where there is no English, and without
        `ts_loo` where there is one language only.
    """
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in CALIBRATORS}
    for name in found:
        found[name] = {code: np.ones(FOLDS) for code in languages}
    for fold in range(FOLDS):
        curves = {}
        for code, each in languages.items():
            held = each.fold != fold
            curves[code] = _Curve(each.scores[held], each.gold[held])
            own = fit_temperature(each.scores[held], each.gold[held])
            found["ts_own"][code][fold] = own
        own = {code: pair[fold] for code, pair in found["ts_own"].items()}
        pooled, without = _pool(curves, own)
        for code in languages:
            found["ts_en"][code][fold] = own.get(ENGLISH, np.nan)
            found["ts_pool"][code][fold] = pooled
            found["ts_loo"][code][fold] = without[code]
    if ENGLISH not in languages:
        del found["ts_en"]
    if len(languages) < 2:
        del found["ts_loo"]
    return found


def rescale(scored: Scored, temperatures: np.ndarray) -> np.ndarray:
    """The scores [N, K] divided by the temperature of each question's fold.

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
        """Whether no temperature is too low: no option is better than a right one."""
        return bool((self._right == 0).all() and (self._finite < 0).any())

    def derivatives(self, place: float) -> tuple[float, float]:
        """First and second derivative at log(1/T), of the sum over the questions."""
        inverse = np.exp(place)
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
    """The temperature of all languages together, and of all but each.

    Every sum of curves has its minimum between the lowest and the highest minimum of
    its parts. There each language's slope is interpolated once, and sums of slopes are
    sums of coefficients: one pass over the data for all that is left out in turn.
    """
    places = -np.log(list(own.values()))
    low, high = places.min(), places.max()
    if high - low < _EXACT:
        same = float(np.exp(-low))
        return same, dict.fromkeys(curves, same)
    slopes = {
        code: Chebyshev.interpolate(
            np.vectorize(lambda place, curve=curve: curve.derivatives(place)[0]),
            _NODES - 1,
            domain=[low, high],
        )
        for code, curve in curves.items()
    }
    total = sum(slopes.values())
    rest = {code: _root(total - slope, low, high) for code, slope in slopes.items()}
    return _root(total, low, high), rest


def _root(slope: Chebyshev, low: float, high: float) -> float:
    """The temperature at which a rising slope is 0, by halving."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))
