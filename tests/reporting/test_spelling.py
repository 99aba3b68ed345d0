"""Numbers are rounded once, halves away from 0, in Python as in the page's script."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycal.reporting import spelling


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "+12.3 pp"), (-0.05, "−5.0 pp"), (0.0, "0.0 pp"), (-0.0001, "0.0 pp")],
)
def test_points_are_signed_unless_zero(value, text):
    """A difference has a sign, with a real minus, and zero has none."""
    assert spelling.points(value) == text


@pytest.mark.parametrize(
    ("value", "percent", "three"),
    [
        (0.2835, "28.4%", "0.284"),  # 100 * 0.2835 is a little less than 28.35
        (0.2845, "28.5%", "0.285"),
        (0.28349, "28.3%", "0.283"),
        (-0.0005, "−0.1%", "−0.001"),
        (-0.00049, "0.0%", "0.000"),
    ],
)
def test_a_half_is_rounded_away_from_0(value, percent, three):
    """Whatever the binary fraction is."""
    assert spelling.percent(value) == percent
    assert spelling.three(value) == three


@given(st.integers(-10_000_000, 10_000_000))
def test_decimals_of_six_digits_are_rounded_as_on_paper(millionths):
    """The decimal module rounds the decimal number itself."""
    value = millionths / spelling.MILLION
    assert spelling.to_millionths(value) == millionths
    exact = Decimal(millionths) / 10_000
    wanted = exact.quantize(Decimal("0.1"), ROUND_HALF_UP)
    text = spelling.points(value, unit="").replace("−", "-")
    assert Decimal(text) == wanted
    assert text.startswith("+") == (wanted > 0)


def test_a_unit_decides_how_a_number_is_spelt():
    """Shares in percent, gaps with a sign, anything else with three decimals."""
    assert spelling.spell(0.1234, "%") == "12.3%"
    assert spelling.spell(0.1234, "pp") == "+12.3 pp"
    assert spelling.spell(-1.2345, "nats") == "−1.235"
    assert spelling.spell_difference(0.1234, "%") == "+12.3 pp"
    assert spelling.spell_difference(0.1234, "") == "+0.123"
    assert spelling.spell_difference(-0.0001, "") == "0.000"
    assert spelling.points(-0.0234, unit="") == "−2.3"
    assert spelling.percent(0.4567, unit="") == "45.7"
