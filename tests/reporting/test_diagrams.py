"""Reliability diagrams show the table's own numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import make_study
from scipy.stats import binom, binomtest

from polycal.comparing.conditions import per_level_bin, select
from polycal.reporting.diagrams import consistent, levels, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 10), (99, 100), (7, 7)])
def test_an_interval_is_scipy_s(right, n):
    """Wilson's, without a correction for continuity."""
    low, high = wilson(np.array([right]), np.array([n]))
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_levels_are_pooled_and_drawn_in_order(tmp_path):
    """A panel per level and one of all languages, which hold every question once."""
    path = make_study(tmp_path)["reliability"]
    rows = select(
        path, "reliability", task="global_mmlu", scoring="text", normaliser="token"
    )
    bins = per_level_bin(rows)
    parts = bins.groupby(bins["level"] == "all")["n"].sum()
    assert parts[True] == parts[False]
    titles = [axes.get_title() for axes in levels(bins).axes]
    assert titles == [
        "high resource (2)",
        "mid resource (1)",
        "low resource (2)",
        "all (5)",
    ]


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_a_calibrated_bin_lies_in_its_band(n, confidence):
    """In 95 % of the draws or a little more, as a binomial comes in steps."""
    low, high = consistent(np.array([confidence]), np.array([n]))
    inside = binom.cdf(round(high[0] * n), n, confidence)
    inside -= binom.cdf(round(low[0] * n) - 1, n, confidence)
    assert inside >= 0.95 - 1e-9
    assert low <= confidence + 1 / n
    assert high >= confidence - 1 / n
