"""Means over the languages of a level, by hand."""

import numpy as np
import pytest
from scipy.stats import norm, t

from polycal.comparing.level_means import level_means
from polycal.comparing.paired import Condition, Numbers

WAY = {"task": "t", "scoring": "text", "normaliser": "token", "calibrator": "none"}
BASE = Condition("m", "none", 0.0, *WAY.values())
SFT = BASE._replace(sft="s")
NOISE = np.array([-1.0, 0.0, 1.0]) * 0.01  # standard deviation 0.01


def numbers(value: float, seeds: list[float], bias: float = 0.0) -> Numbers:
    """One number in English, twice as much in Swahili; their questions are the same."""
    codes = {"en": 1, "sw": 2}
    return Numbers(
        {code: value * factor for code, factor in codes.items()},
        {code: value * factor + factor * NOISE for code, factor in codes.items()},
        dict.fromkeys(codes, bias),
        {code: np.array(seeds) * factor for code, factor in codes.items()},
    )


def only(rows: list[dict], **values: object) -> dict:
    (row,) = [row for row in rows if values.items() <= row.items()]
    return row


def test_the_noise_of_translations_does_not_average_out():
    """Mean of 0.2 and 0.4 with errors 0.01 and 0.02 that move together: 0.015."""
    rows = level_means({BASE: {"accuracy": numbers(0.2, [0.2])}}, 0.95)
    assert {row["level"] for row in rows} == {"all", "high", "low"}
    row = only(rows, level="all")
    assert row["estimate"] == pytest.approx(0.3)
    assert row["se"] == pytest.approx(0.015)
    assert row["ci_low"] == pytest.approx(0.3 - norm.isf(0.025) * 0.015)
    assert row["ci_high"] == pytest.approx(0.3 + norm.isf(0.025) * 0.015)
    assert (row["n_languages"], row["n_seeds"], row["se_seeds"]) == (2, 1, None)
    assert only(rows, level="low")["estimate"] == pytest.approx(0.4)


def test_seeds_are_pooled_over_smoothing_values_and_not_with_the_base():
    """Variances 0.0002 and 0 of two seeds each: 0.0001, with 2 / 1.25 of freedom."""
    study = {
        BASE: {"accuracy": numbers(0.2, [0.2])},
        SFT: {"accuracy": numbers(0.3, [0.29, 0.31])},
        SFT._replace(smoothing=0.1): {"accuracy": numbers(0.3, [0.3, 0.3])},
    }
    rows = level_means(study, 0.95)
    for smoothing in (0.0, 0.1):
        row = only(rows, sft="s", smoothing=smoothing, level="high")
        assert row["se_seeds"] == pytest.approx(np.sqrt(0.0001 / 2))
        assert row["se"] == pytest.approx(np.hypot(0.01, np.sqrt(0.0001 / 2)))
        z, of_seeds = norm.isf(0.025), t.ppf(0.975, 2 / 1.25)
        k = 1 + 2 / (2 / 1.25)
        farther = k * z**2 * 0.0001 / (of_seeds**2 * 0.00005)
        excess = (of_seeds**2 - z**2) * 0.00005 / (1 + farther**k)
        half = np.sqrt(z**2 * (0.0001 + 0.00005) + excess)
        assert row["ci_high"] - row["estimate"] == pytest.approx(half)
        assert row["n_seeds"] == 2
    assert only(rows, sft="none", level="high")["se_seeds"] is None


def test_an_ece_may_lie_below_its_value_by_its_bias():
    rows = level_means({BASE: {"ece": numbers(0.2, [0.2], bias=0.05)}}, 0.95)
    row = only(rows, level="high")
    half = norm.isf(0.025) * 0.01
    assert row["ci_low"] == pytest.approx(0.2 - 0.05 - half)
    assert row["ci_high"] == pytest.approx(0.2 + half)


def test_no_interval_leaves_what_a_metric_can_be():
    """An ECE of 0.01 is not below 0, an accuracy of 0.995 not above 1."""
    rows = level_means({BASE: {"ece": numbers(0.01, [0.01], bias=0.05)}}, 0.95)
    assert only(rows, level="high")["ci_low"] == 0
    rows = level_means({BASE: {"accuracy": numbers(0.995, [0.995])}}, 0.95)
    row = only(rows, level="high")
    assert (row["ci_low"] < 0.995, row["ci_high"]) == (True, 1)
