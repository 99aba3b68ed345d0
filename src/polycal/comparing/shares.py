"""Relative effects: the share of what SFT added that smoothing removes.

Input: the conditions of a study; output: rows of the table `shares`.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from polycal.comparing.inference import half_width
from polycal.comparing.paired import (
    Condition,
    Difference,
    Row,
    Study,
    levels_of,
    shared,
)
from polycal.comparing.seed_noise import pool_means
from polycal.study.grid import BASE

_SHARED_OUT = ("confidence", "gap")  # without a bias that would not cancel in a ratio
_STEPS = 60  # doublings until an end is bracketed


def fieller(
    removed: Difference,
    added: Difference,
    confidence: float,
    *,
    others: Sequence[Difference] = (),
) -> tuple[float | None, float | None]:
    """Return the interval of removed / added (Fieller 1954).

    It holds the ratios r that a test of removed - r added = 0 does not reject, with the
    noise of questions and of trainings of that difference. There is none where `added`
    is not shown to be above 0: of nothing every ratio is possible, and what SFT took
    away has no share that smoothing removes.

    Args:
        removed: the numerator.
        added: the denominator, of the same questions and seeds.
        confidence: of the interval.
        others: numerators of other smoothing values: the noise of training is pooled,
            as it is in contrasts.

    Returns:
        Lower and upper end; None for both where there is none, or it is unbounded.
    """

    def excess(ratio: float) -> float:
        """Return by how much the test rejects a ratio; below 0 it does not."""
        return _excess(
            removed.value - ratio * added.value,
            removed.draws - ratio * added.draws,
            [each.seeds - ratio * added.seeds for each in (removed, *others)],
            confidence,
        )

    from scipy.optimize import brentq  # 0.3 s to import

    if (
        added.value <= 0
        or _excess(added.value, added.draws, [added.seeds], confidence) <= 0
    ):
        return None, None
    ratio = removed.value / added.value
    ends = []
    for side in (-1, 1):
        step = 0.01
        for _ in range(_STEPS):
            if excess(ratio + side * step) > 0:
                break
            step *= 2
        else:
            return None, None
        ends.append(float(brentq(excess, ratio, ratio + side * step)))
    return ends[0], ends[1]


def _excess(
    value: float, draws: np.ndarray, seeds: Sequence[np.ndarray], confidence: float
) -> float:
    """Return |value| minus the half width of its interval.

    Args:
        value: a difference.
        draws: [R] its replicates.
        seeds: [S] by seed; of other smoothing values, too.
        confidence: of the interval.
    """
    noise = pool_means(seeds).widen(float(draws.std(ddof=1)), len(seeds[0]))
    return abs(value) - float(half_width(noise, confidence=confidence))


def shares(study: Study, confidence: float) -> list[Row]:
    """Return the share of what SFT added that each smoothing removes, by level."""
    sweeps: dict[Condition, list[Condition]] = {}
    for condition in study:
        if condition.smoothing:
            plain = condition._replace(smoothing=0.0)
            if plain in study and plain._replace(sft=BASE) in study:
                sweeps.setdefault(plain, []).append(condition)
    rows = []
    for plain, smoothed in sweeps.items():
        for metric in _SHARED_OUT:
            base = plain._replace(sft=BASE)
            conditions = (base, plain, *smoothed)
            if any(metric not in study[each] for each in conditions):
                continue
            held = {each: study[each][metric] for each in conditions}
            for level, codes in levels_of(shared(held.values())).items():
                added = Difference(held[plain], held[base], codes)
                removed = {
                    each: Difference(held[plain], held[each], codes)
                    for each in smoothed
                }
                for condition, numbers in _share(added, removed, confidence):
                    key = {"level": level, "metric": metric, "n_languages": len(codes)}
                    rows.append(condition._asdict() | key | numbers)
    return rows


def _share(
    added: Difference, removed: Mapping[Condition, Difference], confidence: float
) -> Iterator[tuple[Condition, Row]]:
    """Yield each smoothing with its share; none whose seeds nothing pairs."""
    alike = {
        condition: own
        for condition, own in removed.items()
        if len(own.seeds) == len(added.seeds)
    }
    for condition, own in alike.items():
        others = [other for each, other in alike.items() if each != condition]
        low, high = fieller(own, added, confidence, others=others)
        yield (
            condition,
            {
                "added": added.value,
                "removed": own.value,
                "share": None if low is None else own.value / added.value,
                "ci_low": low,
                "ci_high": high,
                "n_seeds": len(added.seeds),
            },
        )
