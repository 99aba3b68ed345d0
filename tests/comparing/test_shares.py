"""Relative effects with Fieller's interval, against its closed form."""

import numpy as np
import pytest
from scipy.stats import norm, t

from polycal.comparing.paired import Condition, Numbers
from polycal.comparing.shares import Difference, fieller, shares

WAY = {"task": "t", "scoring": "text", "normaliser": "token", "calibrator": "none"}
RANDOM = np.random.default_rng(0)


def standardise(draws: np.ndarray) -> np.ndarray:
    return (draws - draws.mean()) / draws.std(ddof=1)


X = standardise(RANDOM.normal(size=500))
Y = standardise(RANDOM.normal(size=500))
Y = standardise(Y - X * (X @ Y) / (X @ X))  # uncorrelated in the sample, too


def numbers(
    value: float, noise: np.ndarray, seeds: list[float] | None = None
) -> Numbers:
    seeds = seeds or [value]
    return Numbers({"sw": value}, {"sw": value + noise}, {}, {"sw": np.array(seeds)})


ZERO = numbers(0.0, 0 * X)


def difference(value: float, noise: np.ndarray, **more: list[float]) -> Difference:
    return Difference(numbers(value, noise, **more), ZERO, ["sw"])


def closed_form(n: float, d: float, s_n: float, s_d: float, cov: float) -> tuple:
    """The roots of (n - r d)^2 = z^2 (s_n^2 - 2 r cov + r^2 s_d^2)."""
    z = norm.isf(0.025)
    roots = np.roots(
        [
            d**2 - z**2 * s_d**2,
            -2 * (n * d - z**2 * cov),
            n**2 - z**2 * s_n**2,
        ]
    )
    return tuple(sorted(roots))


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (0.6, 0.8), (-0.6, 0.8)])
def test_the_interval_is_fieller_s(a, b):
    """With correlation 0, .8 and .8 of the other sign; not symmetric."""
    s_n, s_d = 0.02, 0.03
    removed = difference(0.1, s_n * (a * X + b * Y))
    added = difference(0.25, s_d * Y)
    low, high = fieller(removed, added, 0.95)
    expected = closed_form(0.1, 0.25, s_n, s_d, b * s_n * s_d)
    assert (low, high) == pytest.approx(expected)
    assert low < 0.4 < high
    assert high - 0.4 != pytest.approx(0.4 - low, rel=0.05)


def test_nothing_is_a_share_of_what_may_be_nothing():
    """SFT added 0.05 with a standard error of 0.03: any ratio is possible."""
    removed = difference(0.1, 0.02 * X)
    assert fieller(removed, difference(0.05, 0.03 * Y), 0.95) == (None, None)


def test_what_sft_took_away_has_no_share():
    """SFT lowered the gap by 0.25, surely; "40 % of it removed" would say nothing."""
    removed, taken = difference(-0.1, 0.02 * X), difference(-0.25, 0.03 * Y)
    assert fieller(removed, taken, 0.95) == (None, None)


def test_seeds_widen_it_and_are_pooled_over_smoothing_values():
    """One value of two seeds: t with 1 degree of freedom. Two values have 1.6."""
    certain = 1e-9 * X
    added = difference(0.2, certain, seeds=[0.2, 0.2])
    removed = difference(0.1, certain, seeds=[0.09, 0.11])
    sd = np.std([0.09, 0.11], ddof=1) / 2**0.5
    low, high = fieller(removed, added, 0.95)
    assert low == pytest.approx((0.1 - t.ppf(0.975, 1) * sd) / 0.2, rel=1e-6)
    other = difference(0.15, certain, seeds=[0.15, 0.15])
    low, high = fieller(removed, added, 0.95, others=[other])
    half = t.ppf(0.975, 2 / 1.25) * sd / 2**0.5
    assert high == pytest.approx((0.1 + half) / 0.2, rel=1e-6)


def test_every_smoothing_has_a_share_of_what_sft_added():
    """Gap .05, .30 after SFT, .20 and .10 with smoothing: 40 % and 80 % removed."""
    base = Condition("m", "none", 0.0, *WAY.values())
    values = {
        base: 0.05,
        base._replace(sft="s"): 0.30,
        base._replace(sft="s", smoothing=0.1): 0.20,
        base._replace(sft="s", smoothing=0.2): 0.10,
        base._replace(sft="alone", smoothing=0.1): 0.10,  # without plain SFT
    }
    study = {
        condition: {"gap": numbers(value, 0.001 * (X if value > 0.2 else Y))}
        for condition, value in values.items()
    }
    rows = shares(study, 0.95)
    assert {row["sft"] for row in rows} == {"s"}
    assert {row["level"] for row in rows} == {"all", "low"}
    own = [row for row in rows if row["level"] == "low"]
    assert [row["smoothing"] for row in own] == [0.1, 0.2]
    assert [row["share"] for row in own] == pytest.approx([0.4, 0.8])
    assert [row["removed"] for row in own] == pytest.approx([0.1, 0.2])
    assert own[0]["added"] == pytest.approx(0.25)
    assert own[0]["ci_low"] < 0.4 < own[0]["ci_high"] < own[1]["ci_low"] < 0.8
