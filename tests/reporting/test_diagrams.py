"""Reliability diagrams show the answers' own numbers."""

import numpy as np
from drawn import values_of
from hypothesis import given
from hypothesis import strategies as st
from made_up import CONDITIONS, LEVELS, N, answer_by_hand
from scipy.stats import binom

from polycal.reporting.diagrams import consistent, levels, reliability


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_a_calibrated_bin_lies_in_its_band(n, confidence):
    """In 95 % of the draws or a little more, as a binomial comes in steps."""
    low, high = consistent(np.array([confidence]), np.array([n]))
    inside = binom.cdf(round(high[0] * n), n, confidence)
    inside -= binom.cdf(round(low[0] * n) - 1, n, confidence)
    assert inside >= 0.95 - 1e-9
    assert low <= confidence + 1 / n
    assert high >= confidence - 1 / n


def points_by_hand(*languages: str) -> set[tuple[float, float]]:
    """Confidence and accuracy of every bin and condition, in %, languages pooled."""
    points = set()
    for how in CONDITIONS.values():
        answers = [answer_by_hand(*how, language)[:2] for language in languages]
        confidence, right = np.concatenate(answers, axis=1)
        bins = (confidence * 15).astype(int)
        for index in set(bins):
            x, y = confidence[bins == index].mean(), right[bins == index].mean()
            points.add((round(100 * x, 3), round(100 * y, 3)))
    return points


def points_in(axes) -> set[tuple[float, float]]:
    return {
        (round(x, 3), round(y, 3))
        for line in axes.lines
        if line.get_marker() != "None"
        for x, y in zip(*line.get_data(), strict=True)
    }


def test_reliability_is_accuracy_over_confidence():
    """A panel per language; the bins of all conditions are far off the diagonal."""
    panels = {
        axes.get_title(): axes for axes in reliability(values_of("reliability")).axes
    }
    assert list(panels) == ["English", "German", "Hebrew", "Swahili", "Yoruba"]
    for name, code in (("English", "en"), ("Swahili", "sw")):
        assert points_in(panels[name]) == points_by_hand(code), name


def test_levels_pool_the_answers_of_their_languages():
    """A panel per level with the number of its languages, and one of all."""
    panels = levels(values_of("levels")).axes
    for axes, (level, codes) in zip(panels, LEVELS.items(), strict=True):
        title = "all" if level == "all" else f"{level} resource"
        assert axes.get_title() == f"{title} ({len(codes)})"
        assert points_in(axes) == points_by_hand(*codes), level
        # Bars would take the translations of a question for independent answers.
        assert not axes.collections


def test_levels_hold_every_question_once():
    bins = values_of("levels")
    counts = bins.groupby(["level", "rank"])["n"].sum().groupby("level").unique()
    assert counts.map(list).to_dict() == {
        level: [N * len(codes)] for level, codes in LEVELS.items()
    }
