"""The bound on the bias of an ECE, by hand and against answers of known calibration."""

import numpy as np
import pytest
from confidences import draw_calibrated, measure_answers
from scipy import special

from polycal.calibration import METRICS, answer
from polycal.comparing.biases import bound_bias, cross_fit
from polycal.comparing.effects import Effect, Side, describe
from polycal.comparing.replicates import RunMetric


def metric(value: float, *, null_mean: float = np.nan, se: float = 0.0) -> RunMetric:
    """One language; its replicates have the standard error."""
    draws = value + se * np.array([[-1.0, 0.0, 1.0]])
    return RunMetric(["en"], np.array([value]), np.array([null_mean]), 9, draws)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("ece", "gap", "se", "null_mean", "bound"),
    [
        (0.20, 0.20, 0.01, 0.03, 0.0),  # every bin errs to one side
        (0.21, 0.20, 0.01, 0.03, 0.01),  # the cancellation
        (0.25, 0.20, 0.01, 0.03, 0.03),  # a calibrated model has no more than this
        (0.19, 0.20, 0.01, 0.03, 0.0),  # never below 0
        (0.02, 0.00, 0.01, 0.09, 0.02 + 2 * 0.01 * 0.3989423),  # 2 s phi(0)
        # Half a standard error: 2 Phi(.5) - 1 = .3829249, phi(.5) = .3520653.
        (0.02, 0.01, 0.02, 0.09, 0.02 - 0.01 * 0.3829249 + 2 * 0.02 * 0.3520653),
    ],
)
def test_the_bound_is_the_smaller_of_two(sign, ece, gap, se, null_mean, bound):
    """By hand, whichever way the model errs."""
    found = bound_bias(metric(ece, null_mean=null_mean), metric(sign * gap, se=se))
    assert found == pytest.approx([bound], abs=1e-8)


def test_a_cross_fitted_gap_is_not_above_the_true_one_on_average():
    """Exactly 0 for a gap of 0, where |gap| alone would be 0.8 standard errors."""
    nodes, weights = special.roots_hermitenorm(81)
    weights /= weights.sum()
    means = {
        gap: weights @ cross_fit(gap + 0.5 * nodes, np.full(81, 0.5))
        for gap in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    }
    assert means.pop(0.0) == pytest.approx(0, abs=1e-9)
    for gap, mean in means.items():
        assert gap / 4 < mean <= gap
    assert means[4.0] == pytest.approx(4)


@pytest.mark.parametrize(
    ("factors", "power"),
    [((1.0, 1.0), 0.0), ((1.0, 1.5), 0.7), ((1.5, 1.5), 0.0)],
)
def test_a_difference_of_ece_holds_the_truth_and_can_decide(factors, power):
    """Scores that are sharpened by a factor; 1 is calibrated. 658 questions.

    With the ECE of a calibrated model alone as the bound, the interval is wider by a
    tenth or more.
    """
    chance = np.random.default_rng(0)
    scores, gold = draw_calibrated(chance, 60_000)
    ece = METRICS["ece"].compute
    true = np.diff([ece(answer(scores * factor, gold)) for factor in factors])[0]
    held, decided, widths, before = [], [], [], []
    for _ in range(40):
        scores, gold = draw_calibrated(chance, 658)
        both = [
            measure_answers({"en": answer(scores * factor, gold)}, ("ece", "gap"))
            for factor in factors
        ]
        for bounds, used in (
            ([bound_bias(own["ece"], own["gap"]) for own in both], widths),
            ([own["ece"].null_means for own in both], before),
        ):
            sides = [
                Side(own["ece"].values[None], own["ece"].replicates.T, bias)
                for own, bias in zip(both, bounds, strict=True)
            ]
            effect = Effect({"metric": "ece"}, ["en"], *sides, np.array([658]))
            row = describe([[effect]], margin=0.01, confidence=0.95).iloc[0]
            used.append(row["ci_high"] - row["ci_low"])
            if used is widths:
                held.append(row["ci_low"] <= true <= row["ci_high"])
                decided.append(row["ci_low"] > 0 or row["ci_high"] < 0)
    assert np.mean(held) >= 0.92
    assert power <= np.mean(decided) <= 1.2 * power
    assert np.mean(widths) < 0.92 * np.mean(before)
