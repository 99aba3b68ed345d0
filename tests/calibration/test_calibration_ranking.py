"""Ranking metrics against scikit-learn and against every order of tied questions."""

import itertools
import math

import numpy as np
import pytest
from confidences import drawn_answers, spread
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from polycal.calibration import accuracy_at_coverage, augrc, aurc, auroc, risk_coverage

FEW = st.lists(
    st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6
)


@given(drawn_answers(min_size=2))
def test_sklearn_agrees_on_the_area_under_the_roc_curve(pair):
    """Ties included; where it is not defined it is missing."""
    if len(set(pair[1])) == 2:
        assert auroc(*pair) == pytest.approx(roc_auc_score(pair[1], pair[0]))
    else:
        assert math.isnan(auroc(*pair))


@settings(max_examples=30)
@given(FEW, st.sampled_from([0.1, 0.5, 1.0]))
def test_ties_count_as_every_order_at_once(drawn, coverage):
    """The definition by brute force, averaged over all orders of equal confidences."""
    confidence, correct = np.array(drawn, float).T
    n = len(confidence)
    areas, held = [], []
    for order in itertools.permutations(range(n)):
        ranked = confidence[list(order)]
        if (np.diff(ranked) > 0).any():
            continue
        errors = 1 - correct[list(order)]
        areas.append(np.mean([errors[: k + 1].mean() for k in range(n)]))
        held.append(1 - errors[: math.ceil(coverage * n - 1e-9)].mean())
    assert aurc(confidence, correct) == pytest.approx(np.mean(areas))
    found = accuracy_at_coverage(confidence, correct, coverage=coverage)
    assert found == pytest.approx(np.mean(held))


@given(drawn_answers(min_size=2))
def test_the_generalised_area_follows_from_ranking_and_accuracy(pair):
    """The closed form of Traub et al. holds with ties, too."""
    accuracy = pair[1].mean()
    ranking = 0 if len(set(pair[1])) < 2 else 1 - auroc(*pair)
    expected = ranking * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert augrc(*pair) == pytest.approx(expected)


def test_the_curve_ends_at_the_error_rate():
    """Answering everything; and only the order of confidence matters."""
    confidence, correct = spread(301)
    curve = risk_coverage(confidence, correct)
    assert curve.coverage[[0, -1]] == pytest.approx([1 / 301, 1])
    assert curve.risk[-1] == pytest.approx(1 - correct.mean())
    assert aurc(confidence**3, correct) == pytest.approx(aurc(confidence, correct))


def test_a_coverage_is_a_share_of_the_questions():
    """0.1 of 30 are three, not four; nothing and more than all are refused."""
    confidence, correct = np.linspace(0.3, 0.9, 30), np.r_[np.zeros(27), 1, 1, 1]
    assert accuracy_at_coverage(confidence, correct, coverage=0.1) == 1
    for coverage in (0, 1.1, math.nan):
        with pytest.raises(ValueError, match="coverage"):
            accuracy_at_coverage(confidence, correct, coverage=coverage)


def test_the_curve_of_one_question_is_one_point():
    """Coverage 1, and the risk is its error."""
    assert risk_coverage([0.7], [0]) == ([1.0], [1.0])


@pytest.mark.filterwarnings("error")
def test_ranking_of_no_questions_is_missing():
    """NaN without a warning; so is an area where all answers are right."""
    assert math.isnan(auroc([0.3, 0.6], [1, 1]))
    for value in (auroc([], []), aurc([], []), augrc([], [])):
        assert math.isnan(value)
    assert math.isnan(accuracy_at_coverage([], [], coverage=0.5))
