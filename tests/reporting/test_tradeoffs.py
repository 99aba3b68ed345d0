"""Figures of trade-offs show every point, and names that can be read."""

import numpy as np
import pandas as pd
import pytest
from drawn import PLACE, study, values_of
from made_up import CODES, CONDITIONS, LEVELS, by_hand, mean_by_hand

from polycal.reporting.tradeoffs import doses, front, premium
from polycal.storage import tables
from polycal.study.languages import load_languages


def test_a_dose_response_has_a_line_per_level():
    """The mean over its languages, for the gap of its size. A ring marks the best."""
    panels = doses(values_of("doses")).axes
    for axes, metric, scale in zip(
        panels, ("ece", "gap", "nll"), (100, 100, 1), strict=True
    ):
        lines = [line for line in axes.lines if line.get_markersize() == 3]
        rings = [line for line in axes.lines if line.get_markersize() == 8]
        found = {tuple(np.round(line.get_ydata(), 4)) for line in lines}
        expected = set()
        for codes in LEVELS.values():
            values = [
                np.mean([abs(by_hand("alpaca-en", s, code)[metric]) for code in codes])
                for s in (0.0, 0.1)
            ]
            expected.add(tuple(np.round(scale * np.array(values), 4)))
        assert found == expected, metric
        for line, ring in zip(lines, rings, strict=True):
            best = np.argmin(line.get_ydata())
            assert ring.get_xdata()[0] == (0, 0.1)[best], metric
            assert ring.get_ydata()[0] == min(line.get_ydata()), metric


def test_a_point_is_a_gap_over_a_token_premium():
    """English is 1, at its own gap."""
    rows = tables.read(study().tables / "metrics.parquet", "metrics")
    rows = tables.where(
        rows, **PLACE, metric="token_premium", sft="none", calibrator="none"
    )
    tokens = {row["language"]: row["value"] for row in rows.to_pylist()}
    assert tokens["en"] == 1 < tokens["sw"]
    for axes, how in zip(
        premium(values_of("premium")).axes, CONDITIONS.values(), strict=True
    ):
        found = {
            (round(x, 4), round(y, 4))
            for line in axes.lines
            if line.get_marker() in "osD"
            for x, y in zip(*line.get_data(), strict=True)
        }
        assert found == {
            (round(tokens[code], 4), round(100 * by_hand(*how, code)["gap"], 4))
            for code in CODES
        }


def test_no_two_names_of_languages_overlap():
    """42 languages in one panel; names are measured by matplotlib, not by us."""
    codes = [each.code for each in load_languages().values() if each.in_global_mmlu]
    random = np.random.default_rng(0)
    values = pd.DataFrame(
        {
            **{"facet": "m", "rank": 0.0, "language": sorted(codes)},
            "token_premium": random.uniform(1, 3, len(codes)),
            "gap": random.uniform(-0.1, 0.3, len(codes)),
        }
    )
    (axes,) = premium(values).axes
    markers = [line for line in axes.lines if line.get_marker() in "osD"]
    assert sum(len(line.get_xdata()) for line in markers) == 42
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) > 5
    assert not any(
        one.overlaps(other)
        for index, one in enumerate(boxes)
        for other in boxes[:index]
    )


def test_a_front_draws_each_condition_and_temperature():
    """ECE over accuracy: filled as it is, hollow with a temperature, in each panel."""
    panels = front(values_of("front")).axes
    for axes, (level, codes) in zip(panels, LEVELS.items(), strict=True):
        dots = [line for line in axes.lines if line.get_markersize() == 4.5]
        filled = [line for line in dots if line.get_markerfacecolor() != "none"]
        assert [line.get_marker() for line in filled] == ["o"] * 3
        assert len(dots) == 3 * 5  # none, ts_en, ts_pool, ts_loo, ts_own
        for line, how in zip(filled, CONDITIONS.values(), strict=True):
            (x,), (y,) = line.get_data()
            expected = [100 * mean_by_hand(*how, codes, m) for m in ("accuracy", "ece")]
            assert [x, y] == pytest.approx(expected, abs=1e-4), (level, how)
