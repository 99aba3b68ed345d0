"""Agreement between languages, against SciPy and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr
from scipy.stats import spearmanr

from polycal.calibration import probabilities
from polycal.measuring.consistency import consistency


def draw(n: int, *, scale: float, seed: int) -> np.ndarray:
    """Ragged options: every third question lacks the last one."""
    scores = np.random.default_rng(seed).normal(size=(n, 4)) * scale
    scores[::3, 3] = -np.inf
    return probabilities(scores)


@given(st.sampled_from([0.5, 2, 30]), st.integers(0, 99))
def test_scipy_agrees(scale, seed):
    """On the divergence, and on the ranks.

    SciPy's own `jensenshannon` takes a square root, which is NaN where rounding leaves
    a divergence of nearly 0 below it.
    """
    p, q = draw(50, scale=scale, seed=seed), draw(50, scale=scale, seed=seed + 1000)
    found = consistency(p, q)
    middle = (p + q) / 2
    theirs = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1).mean() / 2
    assert found["divergence"] == pytest.approx(theirs / np.log(2), abs=1e-9)
    ranks = spearmanr(p.max(axis=1), q.max(axis=1)).statistic
    assert found["rank_correlation"] == pytest.approx(ranks, abs=1e-9)


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
    assert found["divergence"] == pytest.approx(0, abs=1e-15)
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["confident_disagreement"] == 0


def test_certain_and_opposite_answers_differ_by_one_bit():
    """And confidences that never change have no ranks."""
    found = consistency([[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2)
    assert found["divergence"] == 1
    assert found["confident_disagreement"] == 1
    assert math.isnan(found["rank_correlation"])


def test_other_questions_are_refused_and_none_are_missing():
    with pytest.raises(ValueError, match="same questions"):
        consistency([[0.5, 0.5]], [[0.3, 0.3, 0.4]])
    assert all(
        map(math.isnan, consistency(np.zeros((0, 4)), np.zeros((0, 4))).values())
    )
