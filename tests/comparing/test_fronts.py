"""The front of accuracy and calibration error."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polycal.comparing.fronts import front_probability, pareto_front

POINTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8
)


@given(POINTS)
def test_a_condition_is_out_if_another_is_at_least_as_good_and_once_better(points):
    """By the definition, one pair after the other; somebody is always on the front."""
    found = pareto_front(*zip(*points, strict=True))
    for index, (accuracy, error) in enumerate(points):
        beaten = any(
            a >= accuracy and e <= error and (a, e) != (accuracy, error)
            for a, e in points
        )
        assert found[index] == (not beaten)
    assert found.any()


def test_the_probability_is_a_share_of_replicates():
    """Two of four replicates have the second condition better in both."""
    accuracy = np.array([[0.6, 0.5], [0.6, 0.7], [0.6, 0.7], [0.6, 0.6]])
    error = np.array([[0.1, 0.2], [0.1, 0.05], [0.1, 0.05], [0.1, 0.2]])
    np.testing.assert_allclose(front_probability(accuracy, error), [0.5, 0.5])


def test_a_rival_of_unknown_bias_may_be_better():
    """0.1 beats 0.12 of the same accuracy unless its own bias is in doubt."""
    accuracy, error = np.full((1, 2), 0.5), np.array([[0.12, 0.1]])
    assert front_probability(accuracy, error).tolist() == [0, 1]
    assert front_probability(accuracy, error, [0.01, 0.0]).tolist() == [0, 1]
    assert front_probability(accuracy, error, [0.03, 0.0]).tolist() == [0, 0]
