"""Numbers as text: rounded once, in the same way in sentences, tables and figures.

A number is first a whole number of millionths, as the page's script gets it; a half is
then rounded away from 0. Rounding the binary fraction instead depends on the path to
it: `f"{100 * 0.2835:.1f}"` is 28.3, `f"{28.35:.1f}"` is 28.4.
"""

from collections.abc import Callable

MILLION = 1_000_000
_STEP = 1000  # millionths in the last digit: 0.1 percentage points, or 0.001


def to_millionths(value: float) -> int:
    """Return a number as a whole number of millionths."""
    return round(MILLION * float(value))


def _last_digits(value: float) -> int:
    """Return how often the last digit's unit goes into a number; halves go up in size.

    The page's script does the same with the same whole numbers.
    """
    whole = to_millionths(value)
    size = (abs(whole) + _STEP // 2) // _STEP
    return size if whole >= 0 else -size


def _spell(digits: int, per_one: int, decimals: int, *, sign: bool) -> str:
    text = f"{digits / per_one:{'+' if sign and digits else ''}.{decimals}f}"
    return text.replace("-", "−")


def points(value: float, *, unit: str = " pp") -> str:
    """Spell a difference of fractions in percentage points: 0.123 -> +12.3 pp."""
    return _spell(_last_digits(value), 10, 1, sign=True) + unit


def spell_points(value: float) -> str:
    """Spell a difference of fractions in percentage points, without the unit."""
    return points(value, unit="")


def spell_interval(
    low: float, high: float, each: Callable[[float], str] = spell_points
) -> str:
    """Spell an interval: [−1.2, +3.4]."""
    return f"[{each(low)}, {each(high)}]"


def percent(value: float, *, unit: str = "%") -> str:
    """Spell a fraction as a percentage: 0.4567 -> 45.7%."""
    return _spell(_last_digits(value), 10, 1, sign=False) + unit


def three(value: float) -> str:
    """Spell a number with three decimals: -0.1234 -> −0.123."""
    return _spell(_last_digits(value), 1000, 3, sign=False)


def spell(value: float, unit: str) -> str:
    """Spell a value of a metric of this unit."""
    if unit == "%":
        return percent(value)
    return points(value) if unit == "pp" else three(value)


def spell_difference(value: float, unit: str) -> str:
    """Spell a difference between two values of a metric of this unit, with its sign."""
    if unit in ("%", "pp"):
        return points(value)
    return _spell(_last_digits(value), 1000, 3, sign=True)
