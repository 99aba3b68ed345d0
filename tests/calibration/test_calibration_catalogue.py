"""The records of the metrics hold what the functions give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycal import calibration
from polycal.calibration import METRICS, all_metrics
from polycal.calibration.metric import HIGHEST, LOWEST, ZERO


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
    for name in set(METRICS) & set(vars(calibration)) - {"chance", "tie_rate"}:
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


def test_a_metric_is_the_mean_of_its_terms():
    """What the bootstrap averages, or sums in bins, is the metric itself."""
    random = np.random.default_rng(0)
    scores, gold = random.normal(size=(400, 4)) * 2, random.integers(4, size=400)
    given = calibration.answer(scores, gold)
    confidence, correct = given.top
    bins = calibration.bins.width_bins(confidence)
    sums = np.bincount(bins, confidence - correct, minlength=calibration.N_BINS)
    by_terms, by_bins = set(), set()
    for name, metric in METRICS.items():
        value = metric.compute(given)
        if metric.terms is not None:
            assert metric.terms(given).mean() == pytest.approx(value), name
            by_terms.add(name)
        if metric.of_bins is not None:
            assert metric.of_bins(sums) / 400 == pytest.approx(value), name
            by_bins.add(name)
        assert metric.replicated == (name in by_terms | by_bins), name
    assert by_terms >= {"accuracy", "confidence", "brier", "nll", "auroc", "smooth_ece"}
    assert by_bins >= {"gap", "ece"}


def test_only_metrics_with_interval_and_margin_may_carry_a_claim():
    """NLL has no margin, AUROC neither interval nor margin."""
    names = ("accuracy", "confidence", "gap", "ece", "brier", "nll", "auroc", "chance")
    carrying = {name for name in names if METRICS[name].may_carry_claim}
    assert carrying == {"accuracy", "confidence", "gap", "ece", "brier"}


def test_the_best_value_of_a_metric_lies_at_its_end_or_at_zero():
    """A metric whose best value is 0 has two signs; the others have a better end."""
    for name, metric in METRICS.items():
        assert metric.best in (LOWEST, HIGHEST, ZERO, None), name
        if metric.best == ZERO:
            assert metric.span[0] < 0 < metric.span[1], name
    certain = all_metrics(np.log([[1 - 1e-12, 1e-12]] * 60), [0] * 60)
    wrong = all_metrics(np.log([[1 - 1e-12, 1e-12]] * 60), [1] * 60)
    for name, metric in METRICS.items():
        good, bad = certain[name], wrong[name]
        if metric.best == LOWEST and not np.isnan(good + bad):
            assert good <= bad, name
        if metric.best == HIGHEST and not np.isnan(good + bad):
            assert good >= bad, name
