"""What a test could decide, and how many questions or seeds would decide an effect."""

import bisect
import math
from typing import Any

import numpy as np
from scipy import special

from polycal.comparing.inference import Noise, half_width

_MOST = 2**63 - 1  # that a table holds; more is asked where rounding is all there is
MOST_SEEDS = 100  # that anybody trains
POWER = 0.8  # probability that a claim with an effect of this size is decided

OF_POWER = ("detectable", "n_questions_needed", "n_seeds_needed")  # of `plan`


def plan(
    noise: Noise,
    level: float,
    *,
    excess: float,
    n_questions: float,
    n_seeds: int = 1,
    bias: float = 0.0,
    together: int = 1,
) -> dict[str, Any]:
    """Return the minimum detectable effect, and what would decide the effect seen.

    An effect is decided with probability `POWER` if it lies so many standard errors
    beyond what decides: the quantile of the test and that of the power. More questions
    shrink the noise of questions, and more seeds that of trainings. A claim about every
    language needs all of them, each with the power's root, as if they were independent:
    the more they share, the more probable it is that all are decided.

    Args:
        noise: of the difference.
        level: of the test, two-sided.
        excess: how far the difference lies beyond what decides.
        n_questions: that the noise of questions is from.
        n_seeds: that the noise of trainings is from.
        bias: that may hide a part of the difference, and shrinks with more questions as
            their noise does.
        together: differences like this one that all have to be decided.

    Returns:
        `detectable`: the distance. `n_questions_needed` and `n_seeds_needed`: for the
        difference seen, with as many of the other as there are; None where no number is
        enough, and of seeds where the noise of trainings is unknown.
    """
    tail = float(special.ndtri(POWER ** (1 / together)))
    detectable = _detect(noise, level, tail) + bias
    room = excess - _detect(Noise(0.0, *noise[1:]), level, tail)
    steps = float(-special.ndtri(level / 2)) + tail
    needed = None
    if room > 0:
        # The root of the sum of squares is at most the sum, so this is enough.
        reach = steps * float(noise.questions) + bias
        needed = math.ceil(n_questions * (reach / room) ** 2)
        needed = needed if needed <= _MOST else None
    seeds = None
    if n_seeds > 1 and np.any(noise.se_seeds):
        seeds = _count_seeds(noise, level, tail, excess - bias, n_seeds)
    return dict(zip(OF_POWER, (detectable, needed, seeds), strict=True))


def _detect(noise: Noise, level: float, tail: float) -> float:
    """Return the distance that is decided with the power of a quantile."""
    return float(half_width(noise, confidence=1 - level)) + tail * float(noise.se)


def _count_seeds(
    noise: Noise, level: float, tail: float, excess: float, n_seeds: int
) -> int | None:
    """Return the fewest seeds that decide a distance, with the same questions."""

    def decides(seeds: int) -> bool:
        shrink, more = (n_seeds / seeds) ** 0.5, (seeds - 1) / (n_seeds - 1)
        own = Noise(
            noise.questions,
            noise.common * shrink,
            max(noise.common_df * more, 1.0),
            noise.specific * shrink,
            max(noise.specific_df * more, 1.0),
        )
        return _detect(own, level, tail) <= excess

    counts = range(2, MOST_SEEDS + 1)
    first = bisect.bisect_left(counts, True, key=decides)
    return counts[first] if first < len(counts) else None


def tipping_sd(excess: float, se: float, level: float) -> float:
    """Return the sd over trainings at which one training would no longer decide.

    The interval of a known sd reaches z sqrt(se^2 + sd^2) to either side of the one
    training that there is.

    Args:
        excess: how far the difference lies beyond what decides.
        se: standard error over questions.
        level: of the test, two-sided.
    """
    z = float(-special.ndtri(level / 2))
    return math.sqrt(max((excess / z) ** 2 - se**2, 0.0))
