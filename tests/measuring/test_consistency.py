"""Agreement between languages, by hand."""

import math

import numpy as np
import pytest

from polycal.calibration import probabilities
from polycal.measuring.consistency import consistency


def draw(n: int, *, scale: float, seed: int) -> np.ndarray:
    """Ragged options: every third question lacks the last one."""
    scores = np.random.default_rng(seed).normal(size=(n, 4)) * scale
    scores[::3, 3] = -np.inf
    return probabilities(scores)


def test_by_hand():
    """Equal answers twice of four; confident and different once."""
    p = [[0.9, 0.1], [0.7, 0.3], [0.95, 0.05], [0.2, 0.8]]
    q = [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4], [0.3, 0.7]]
    found = consistency(p, q)
    assert found["agreement"] == 0.5
    assert found["confident_disagreement"] == 0.25


def test_a_language_agrees_with_itself():
    p = draw(30, scale=2, seed=0)
    found = consistency(p, p)
    assert found["agreement"] == 1
    assert found["confident_disagreement"] == 0


def test_other_questions_are_refused_and_none_are_missing():
    with pytest.raises(ValueError, match="same questions"):
        consistency([[0.5, 0.5]], [[0.3, 0.3, 0.4]])
    found = consistency(np.zeros((0, 4)), np.zeros((0, 4)))
    assert set(found) == {"agreement", "confident_disagreement"}
    assert all(map(math.isnan, found.values()))
