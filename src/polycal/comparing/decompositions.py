"""Decomposition of a change of ECE into confidence, accuracy and cancellation."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.comparing.paired import (
    Condition,
    Numbers,
    Row,
    Study,
    by_sweep,
    interval,
    levels_and_languages,
    pair_seeds,
    shared,
)
from polycal.comparing.seed_noise import pool_means

_METRICS = ("confidence", "accuracy", "ece")  # the arguments of `decompose`


class Parts(NamedTuple):
    """The parts of a change of ECE; they add up to it exactly.

    Attributes:
        confidence: change of |gap| by the change of confidence.
        accuracy: change of |gap| by the change of accuracy.
        cancellation: change of ECE - |gap|, in which over- and under-confidence of
            single bins cancel.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    cancellation: np.ndarray


def decompose(
    *,
    confidence: tuple[ArrayLike, ArrayLike],
    accuracy: tuple[ArrayLike, ArrayLike],
    ece: tuple[ArrayLike, ArrayLike],
) -> Parts:
    """Decompose ECE after - ECE before into three parts.

    ECE = |gap| + cancellation, and gap = confidence - accuracy. Where confidence stays
    above accuracy the parts are the change of confidence, minus the change of
    accuracy, and the rest. Where the sign of the gap turns, which of the two moved
    |gap| depends on which is changed first; the mean of both orders is taken (the
    Shapley value), so that the sum stays exact.

    Args:
        confidence: mean confidence before and after; numbers, or bootstrap replicates
            [R] that are paired, then the parts are [R], too.
        accuracy: before and after.
        ece: before and after.

    Example:
        >>> change = {"confidence": (0.5, 0.8), "accuracy": (0.4, 0.5)}
        >>> parts = decompose(**change, ece=(0.2, 0.3))
        >>> [round(float(part), 6) for part in parts]
        [0.3, -0.1, -0.1]
    """
    c0, c1 = (np.asarray(each, np.float64) for each in confidence)
    a0, a1 = (np.asarray(each, np.float64) for each in accuracy)
    e0, e1 = (np.asarray(each, np.float64) for each in ece)
    before, after = abs(c0 - a0), abs(c1 - a1)
    confidence_only, accuracy_only = abs(c1 - a0), abs(c0 - a1)
    return Parts(
        (confidence_only - before + after - accuracy_only) / 2,
        (accuracy_only - before + after - confidence_only) / 2,
        (e1 - after) - (e0 - before),
    )


def decompositions(study: Study, confidence: float) -> list[Row]:
    """Return the parts of each change of ECE, by language and level.

    ECE is decomposed language by language; the parts are averaged for a level.
    """
    rows = []
    for (reference, *_), pairs in by_sweep(study).items():
        changes = [
            _Change(study[before], study[after], after)
            for before, after in pairs
            if all(m in study[side] for side in (before, after) for m in _METRICS)
        ]
        levels = levels_and_languages({code for own in changes for code in own.codes})
        for level, codes in levels.items():
            for part in Parts._fields:
                own = [change for change in changes if set(codes) <= set(change.codes)]
                seeds = [change.seeds(part, codes) for change in own]
                training = pool_means(seeds)
                for change, by_seed in zip(own, seeds, strict=True):
                    key = {"reference": reference, "level": level, "part": part}
                    noise = {"training": training, "n_seeds": len(by_seed)}
                    estimate = change.estimate(part, codes, confidence, **noise)
                    rows.append(change.condition._asdict() | key | estimate)
    return rows


class _Change:
    """The parts of one change of ECE by language.

    Attributes:
        condition: that is compared with its reference.
        codes: the languages.
    """

    def __init__(
        self,
        before: Mapping[str, Numbers],
        after: Mapping[str, Numbers],
        condition: Condition,
    ) -> None:
        """Decompose the change of every language that both have."""
        self.condition = condition
        self.codes = shared(side["ece"] for side in (before, after))
        self._bias = before["ece"], after["ece"]
        self._parts = {}
        for code in self.codes:
            # All numbers of a language in a row: the value, its replicates, its seeds.
            rows = {m: _row(before[m], after[m], code) for m in _METRICS}
            n = len(after["ece"].draws[code])
            found = decompose(**rows)
            self._parts[code] = {
                part: (own[0], own[1 : n + 1], own[n + 1 :])
                for part, own in found._asdict().items()
            }

    def seeds(self, part: str, codes: Iterable[str]) -> np.ndarray:
        """Return a part's mean over languages by seed [S]."""
        return np.mean([self._parts[code][part][2] for code in codes], axis=0)

    def estimate(
        self, part: str, codes: list[str], confidence: float, **noise: Any
    ) -> Row:
        """Return a part's mean over languages with its `interval`."""
        value = np.mean([self._parts[code][part][0] for code in codes])
        drawn = np.mean([self._parts[code][part][1] for code in codes], axis=0)
        # The bias of ECE is one of the cancellation.
        biased = part == "cancellation"
        before, after = self._bias
        return interval(
            float(value),
            drawn,
            confidence,
            below=biased * after.mean_bias(codes),
            above=biased * before.mean_bias(codes),
            **noise,
        )


def _row(before: Numbers, after: Numbers, code: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the value, the replicates and the paired seeds of both [1 + R + S]."""
    seeds = np.broadcast_arrays(*pair_seeds(before, after, [code]))
    first, second = (
        np.concatenate([[side.value[code]], side.draws[code], by_seed[:, 0]])
        for side, by_seed in zip((before, after), seeds, strict=True)
    )
    return first, second
