"""Errors without bins, against relplot and brute force."""

import math

import numpy as np
import pytest
from confidences import draw, drawn_answers, spread
from hypothesis import given, settings
from relplot.metrics import smECE
from scipy.stats import norm

from polycal.calibration import ece, ks, overconfidence, smooth_ece
from polycal.calibration import smooth as module


@pytest.mark.parametrize("case", ["over-confident", "calibrated", "tied"])
def test_relplot_agrees_on_the_smooth_error(case):
    """It halves the interval of the bandwidth ten times: to about 1e-3."""
    random = np.random.default_rng(2)
    confidence, correct = draw(3000)
    if case == "calibrated":
        correct = (random.uniform(size=3000) < confidence).astype(float)
    elif case == "tied":
        confidence = np.minimum(confidence.round(1), 0.99)
    theirs = smECE(confidence, correct)
    assert smooth_ece(confidence, correct) == pytest.approx(theirs, abs=1.5e-3)


def test_relplot_counts_a_confidence_of_one_half():
    """Its mirror does not double what lies on it; just below 1 it agrees again."""
    confidence, correct = draw(3000)
    confidence[:1000] = 1.0
    ours, theirs = smooth_ece(confidence, correct), smECE(confidence, correct)
    assert ours - theirs > 0.04
    confidence[:1000] = 0.998  # its grid has steps of 0.001
    theirs = smECE(confidence, correct)
    assert smooth_ece(confidence, correct) == pytest.approx(theirs, abs=1.5e-3)
    assert smooth_ece(confidence, correct) == pytest.approx(ours, abs=1.5e-3)


@settings(max_examples=25)
@given(drawn_answers())
def test_the_bandwidth_is_the_error(pair):
    """Brute force: smoothing with that width gives that error again."""
    sigma = smooth_ece(*pair)
    assert 0 <= sigma <= 1
    if sigma > 0.02:
        nodes = np.linspace(0, 1, 4001)
        density = np.zeros_like(nodes)
        for place, gap in zip(pair[0], pair[0] - pair[1], strict=True):
            for mirror in range(-6, 7, 2):
                for image in (place, -place):
                    z = (nodes - image + mirror) / sigma
                    density += gap * np.exp(-(z**2) / 2) / sigma
        density /= math.sqrt(2 * math.pi) * len(pair[0])
        assert np.trapezoid(abs(density), nodes) == pytest.approx(sigma, abs=1e-3)


def test_a_finer_grid_changes_nothing(monkeypatch):
    """Far below what any sample could tell apart."""
    confidence, correct = spread(2000)
    coarse = smooth_ece(confidence, correct)
    monkeypatch.setattr(module, "CELLS", 4096)
    assert smooth_ece(confidence, correct) == pytest.approx(coarse, abs=1e-5)


def test_a_residual_is_shared_by_the_nodes_beside_it(monkeypatch):
    """By hand on nodes 0, 1/4, ..., 1: an end is its own mirror and counts twice."""
    monkeypatch.setattr(module, "CELLS", 4)
    grid = module._reflected(np.array([0.0625, 1.0]), np.array([1.0, 3.0]))
    assert grid.tolist() == [0.75, 0.125, 0, 0, 3, 0, 0, 0.125]


@given(drawn_answers())
def test_ks_is_the_largest_running_sum(pair):
    """Brute force over the distinct confidences; never below |gap|."""
    confidence, gap = pair[0], pair[0] - pair[1]
    sums = [gap[confidence <= value].sum() / len(gap) for value in confidence]
    assert ks(*pair) == pytest.approx(max(map(abs, sums)), abs=1e-12)
    assert ks(*pair) >= abs(overconfidence(*pair)) - 1e-12
    assert abs(ks(*pair, signed=True)) == ks(*pair)


def test_the_signed_error_tells_the_side():
    """And on one-sided data, it is the gap and the ECE."""
    confidence, _ = draw(500)
    wrong, right = np.zeros(500), np.ones(500)
    assert ks(confidence, wrong, signed=True) == pytest.approx(ece(confidence, wrong))
    assert ks(confidence, right, signed=True) == pytest.approx(-ece(confidence, right))


def test_no_questions_have_no_error():
    assert math.isnan(ks([], []))
    assert math.isnan(smooth_ece([], []))


def test_the_slope_is_how_the_integral_falls_with_more_smoothing():
    """By brute force: a reflected Gaussian as a sum over mirror images."""
    confidence, correct = draw(60, seed=3)
    residuals = confidence - correct - 0.1  # of both signs, so that smoothing cancels
    grid = (np.arange(4000) + 0.5) / 4000
    images = np.concatenate([s * confidence + k for s in (1, -1) for k in (-2, 0, 2)])
    weights = np.tile(residuals, 6) / len(confidence)

    def integral(sigma: float) -> float:
        kernel = norm.pdf(grid[:, None], loc=images, scale=sigma)
        return abs(kernel @ weights).mean()

    sigma = 0.1
    slope = (integral(sigma + 1e-4) - integral(sigma - 1e-4)) / 2e-4
    assert slope < -0.1
    found = module.linearise(confidence, residuals, sigma)
    assert found.slope == pytest.approx(slope, rel=0.02)
