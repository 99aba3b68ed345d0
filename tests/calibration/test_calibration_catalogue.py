"""Every metric is in the catalogue, in its range, and in the documentation."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study import REPOSITORY

from polycal import calibration
from polycal.calibration import METRICS, all_metrics

PAGE = (REPOSITORY / "docs" / "metrics.md").read_text().split("\n## ")[0]


@given(st.integers(1, 60), st.integers(2, 10), st.sampled_from([0, 0.3, 30]), st.data())
def test_every_metric_stays_in_its_range(n, k, scale, data):
    """Ragged options, ties (scale 0), and confidences of exactly 1."""
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    scores = random.normal(size=(n, k)) * scale
    gold = random.integers(2, size=n)
    scores[np.arange(k) >= random.integers(2, k + 1, n)[:, None]] = -np.inf
    for name, value in all_metrics(scores, gold).items():
        low, high = METRICS[name].span
        assert np.isnan(value) or low - 1e-9 <= value <= high + 1e-9, name


def test_the_catalogue_calls_the_functions_by_their_names():
    """A metric that is also a function of the package is that function's value."""
    random = np.random.default_rng(0)
    scores, gold = random.normal(size=(400, 4)) * 2, random.integers(4, size=400)
    given = calibration.answer(scores, gold)
    values = all_metrics(scores, gold)
    checked = 0
    for name in set(METRICS) & set(calibration.__all__) - {"chance", "tie_rate"}:
        arguments = given.top
        if name in ("brier", "ece_all"):
            arguments = given.probs, gold
        elif name == "nll":
            arguments = scores, gold
        expected = getattr(calibration, name)(*arguments)
        np.testing.assert_equal(values[name], expected, name)
        checked += 1
    assert checked > 15
    assert values["gap"] == pytest.approx(values["confidence"] - values["accuracy"])
    parts = [values[f"corp_{each}"] for each in ("miscalibration", "uncertainty")]
    total = sum(parts) - values["corp_discrimination"]
    assert total == pytest.approx(values["brier_top"])


def test_the_page_describes_every_metric():
    """docs/metrics.md holds the catalogue's own words, one row a metric, in order."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(METRICS)
    for name, row in rows:
        metric = METRICS[name]
        low, high = ("∞" if each == np.inf else f"{each:g}" for each in metric.span)
        span = f"{low.replace('-inf', '-∞')} to {high}"
        cells = [metric.formula.replace("|", "\\|"), span, metric.role, metric.use]
        assert row == f" {' | '.join(cells)} ", name
