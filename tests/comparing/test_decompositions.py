"""The parts of a change of ECE add up, and mean what they say."""

import numpy as np
import pytest
from confidences import draw
from hypothesis import given
from hypothesis import strategies as st

from polycal.calibration import cancellation, ece
from polycal.comparing.decompositions import decompose

UNIT = st.floats(0, 1)


def change(**pairs: tuple) -> np.ndarray:
    return np.array(decompose(**pairs))


def test_a_model_that_stays_over_confident_by_hand():
    """Confidence .50 to .80, accuracy .40 to .45, ECE .15 to .36."""
    parts = change(confidence=(0.5, 0.8), accuracy=(0.4, 0.45), ece=(0.15, 0.36))
    np.testing.assert_allclose(parts, [0.3, -0.05, (0.36 - 0.35) - (0.15 - 0.10)])


def test_a_gap_that_turns_is_shared_out():
    """Confidence .3 to .6 and accuracy .5 to .4: from .2 below to .2 above."""
    parts = change(confidence=(0.3, 0.6), accuracy=(0.5, 0.4), ece=(0.2, 0.2))
    np.testing.assert_allclose(parts, [0, 0, 0], atol=1e-12)
    # Accuracy alone takes .3 below 0 to .1 above it; confidence alone to .2 above.
    parts = change(confidence=(0.3, 0.7), accuracy=(0.6, 0.2), ece=(0.3, 0.5))
    np.testing.assert_allclose(parts, [0.1, 0.1, 0], atol=1e-12)


@given(UNIT, UNIT, UNIT, UNIT, UNIT, UNIT)
def test_the_parts_add_up(c0, c1, a0, a1, e0, e1):
    """Whatever the signs."""
    parts = change(confidence=(c0, c1), accuracy=(a0, a1), ece=(e0, e1))
    assert parts.sum() == pytest.approx(e1 - e0, abs=1e-12)


@given(UNIT, UNIT, UNIT)
def test_what_does_not_change_has_no_part(c0, c1, a):
    """Accuracy as before explains nothing, nor does confidence as before."""
    parts = change(confidence=(c0, c1), accuracy=(a, a), ece=(0.5, 0.5))
    assert parts[1] == pytest.approx(0, abs=1e-12)
    parts = change(confidence=(a, a), accuracy=(c0, c1), ece=(0.5, 0.5))
    assert parts[0] == pytest.approx(0, abs=1e-12)


def test_it_takes_replicates_and_agrees_with_the_metrics():
    """Arrays go through, and the third part is the metric of that name."""
    cases = [draw(500, seed=seed) for seed in range(4)]
    numbers = np.array([[c.mean(), y.mean(), ece(c, y)] for c, y in cases]).T
    before, after = numbers[:, :2], numbers[:, 2:]
    names = ("confidence", "accuracy", "ece")
    pairs = dict(zip(names, zip(before, after, strict=True), strict=True))
    parts = change(**pairs)
    assert parts.shape == (3, 2)
    expected = cancellation(*cases[2]) - cancellation(*cases[0])
    assert parts[2, 0] == pytest.approx(expected, abs=1e-12)
