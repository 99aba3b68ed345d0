"""Differences of ECE between models of known calibration."""

import numpy as np
import pytest
from confidences import draw_calibrated, measure_answers

from polycal.calibration import METRICS, answer
from polycal.comparing.effects import Effect, Side, describe


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
            ([own["ece"].bound_bias(own["gap"]) for own in both], widths),
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
