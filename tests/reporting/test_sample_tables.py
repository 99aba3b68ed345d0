"""Cells of the tables about languages as a sample, shares and cultures, by hand."""

import numpy as np
import pandas as pd

from polycal.reporting.sample_tables import culture_table, sample_table, share_table


def test_a_change_is_told_with_its_spread_and_prediction():
    """The slope is that per class, not per token; a metric without one has a dash."""
    means = pd.DataFrame(
        {
            "rank": [0.1, 0.1, 0.1],
            "reference": "sft",
            "level": ["all", "all", "low"],
            "metric": ["gap", "ece", "gap"],
            "estimate": [-0.123, 0.045, 9.0],
            "ci_low": [-0.151, -0.011, 9.0],
            "ci_high": [-0.088, 0.1, 9.0],
            "tau": [0.0234, 0.0, 9.0],
            "new_low": [-0.201, -0.03, 9.0],
            "new_high": [-0.034, 0.12, 9.0],
        }
    )
    slopes = pd.DataFrame(
        {
            "rank": [0.1, 0.1],
            "reference": "sft",
            "metric": "gap",
            "predictor": ["log_token_premium", "joshi_class"],
            "slope": [9.0, -0.006],
            "ci_low": [9.0, -0.013],
            "ci_high": [9.0, 0.002],
        }
    )
    gap, ece = sample_table(means, slopes)
    assert gap == {
        "comparison": "SFT, smoothing 0.1 − SFT",
        "metric": "gap",
        "cells": [
            {"text": "−12.3", "interval": "[−15.1, −8.8]"},
            {"text": "2.3", "interval": ""},
            {"text": "[−20.1, −3.4]", "interval": ""},
            {"text": "−0.6", "interval": "[−1.3, +0.2]"},
        ],
    }
    assert ece["metric"] == "ECE"
    assert ece["cells"][-1] == {"text": "–", "interval": ""}
    assert sample_table(means.iloc[:0], slopes) == []


def test_a_share_is_told_in_per_cent_or_not_at_all():
    shares = pd.DataFrame(
        {
            "rank": 0.2,
            "level": ["all", "all", "low"],
            "metric": ["gap", "confidence", "gap"],
            "share": [0.318, np.nan, -0.05],
            "ci_low": [0.12, np.nan, -0.3],
            "ci_high": [0.541, np.nan, 0.2],
            "n_languages": [42, 42, 13],
        }
    )
    confident = shares.iloc[1:2].assign(level="low")
    low, whole = share_table(pd.concat([shares, confident]))
    assert low["level"] == "low"
    assert whole == {
        "condition": "SFT, smoothing 0.2",
        "level": "all",
        "n": 42,
        "cells": [
            {"text": "–", "interval": ""},
            {"text": "31.8%", "interval": "[12.0%, 54.1%]"},
        ],
    }
    assert low["cells"][1] == {"text": "−5.0%", "interval": "[−30.0%, 20.0%]"}


def test_cultures_are_compared_within_a_condition():
    """Not the changes, which have a reference."""
    rows = [
        {
            "rank": -1.0,
            "reference": reference,
            "level": "all",
            "metric": metric,
            "estimate": value,
            "ci_low": value - 0.02,
            "ci_high": value + 0.01,
        }
        for reference, factor in ((None, 1), ("base", 9))
        for metric, value in (
            ("accuracy", -0.031 * factor),
            ("confidence", 0.012 * factor),
            ("gap", 0.043 * factor),
        )
    ]
    (row,) = culture_table(pd.DataFrame(rows))
    assert (row["condition"], row["level"]) == ("base", "all")
    assert row["cells"] == [
        {"text": "−3.1", "interval": "[−5.1, −2.1]"},
        {"text": "+1.2", "interval": "[−0.8, +2.2]"},
        {"text": "+4.3", "interval": "[+2.3, +5.3]"},
    ]
