"""What a test could decide, and how many questions would decide what was seen."""

import math

from scipy import special

from polycal.comparing.inference import Noise, half_width

_MOST = 2**63 - 1  # that a table holds; more is asked where rounding is all there is
POWER = 0.8  # probability that an effect of this size is decided


def plan(
    noise: Noise, level: float, *, excess: float, n_questions: float
) -> dict[str, float | None]:
    """Return the minimum detectable effect and the questions for the effect seen.

    An effect is decided with probability `POWER` if it lies so many standard errors
    beyond what decides: the quantile of the test and that of the power. More questions
    shrink the noise of questions, and not that of trainings.

    Args:
        noise: of the difference.
        level: of the test, two-sided.
        excess: how far the difference lies beyond what decides.
        n_questions: that the noise of questions is from.

    Returns:
        `detectable`: the distance. `n_questions_needed`: for the difference seen; None
        where no number of questions is enough.
    """
    tail = float(special.ndtri(POWER))
    shown = float(half_width(noise, confidence=1 - level))
    detectable = shown + tail * float(noise.se)
    alone = Noise(0.0, *noise[1:])
    room = excess - float(half_width(alone, confidence=1 - level))
    room -= tail * float(alone.se)
    steps = float(-special.ndtri(level / 2)) + tail
    needed = None
    if room > 0:
        # The root of the sum of squares is at most the sum, so this is enough.
        needed = math.ceil(n_questions * (steps * float(noise.questions) / room) ** 2)
        needed = needed if needed <= _MOST else None
    return {"detectable": detectable, "n_questions_needed": needed}


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
