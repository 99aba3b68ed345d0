"""Decomposition of a change of ECE into confidence, accuracy and cancellation."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polycal.comparing.paired import (
    Row,
    Study,
    contrasted,
    interval,
    levels_and_languages,
    shared,
)

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

    Args:
        study: the conditions.
        confidence: of the intervals.
    """
    rows = []
    for reference, before, after in contrasted(study):
        sides = [study[before], study[after]]
        if any(metric not in side for side in sides for metric in _METRICS):
            continue
        common = shared(side["ece"] for side in sides)
        points, draws = {}, {}
        for code in common:
            points[code] = decompose(
                **{m: tuple(side[m].value[code] for side in sides) for m in _METRICS}
            )
            draws[code] = decompose(
                **{m: tuple(side[m].draws[code] for side in sides) for m in _METRICS}
            )
        for level, codes in levels_and_languages(common).items():
            for part in Parts._fields:
                value = np.mean([getattr(points[code], part) for code in codes])
                drawn = np.mean([getattr(draws[code], part) for code in codes], axis=0)
                key = {"reference": reference, "level": level, "part": part}
                # The bias of ECE is one of the cancellation.
                biased = part == "cancellation"
                estimate = interval(
                    float(value),
                    drawn,
                    confidence,
                    below=biased * sides[1]["ece"].mean_bias(codes),
                    above=biased * sides[0]["ece"].mean_bias(codes),
                )
                rows.append(after._asdict() | key | estimate)
    return rows
