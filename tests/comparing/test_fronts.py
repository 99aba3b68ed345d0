"""The front of accuracy and calibration error."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polycal.comparing.fronts import front_probability, fronts, pareto_front
from polycal.comparing.paired import Condition, Numbers

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


def test_a_front_knows_other_trainings():
    """An ECE of .30 that is .40 and .20 in two seeds may beat one of .28; alone not.

    The base model is not trained: against itself it does not vary.
    """
    way = ("t", "text", "token", "none")
    base, plain = Condition("m", "none", 0.0, *way), Condition("m", "s", 0.0, *way)
    smoothed = plain._replace(smoothing=0.1)

    def numbers(value: float, seeds: list[float]) -> Numbers:
        draws = np.full(400, value)
        return Numbers({"sw": value}, {"sw": draws}, {}, {"sw": np.array(seeds)})

    def probabilities(spread: float) -> dict[Condition, float]:
        errors = {
            base: numbers(0.05, [0.05]),
            plain: numbers(0.30, [0.30 + spread, 0.30 - spread]),
            smoothed: numbers(0.28, [0.28 + spread, 0.28 - spread]),
        }
        accuracies = {base: 0.2, plain: 0.5, smoothed: 0.5}
        study = {
            condition: {
                "ece": ece,
                "accuracy": numbers(accuracies[condition], [accuracies[condition]] * 2),
            }
            for condition, ece in errors.items()
        }
        rows = [row for row in fronts(study) if row["level"] == "low"]
        return dict(zip(errors, (row["probability"] for row in rows), strict=True))

    assert list(probabilities(0.0).values()) == [1, 0, 1]
    unsure = probabilities(0.1)
    assert unsure[base] > 0.7  # another has to reach 0.05, at t with 1.6 degrees
    assert 0.3 < unsure[plain] < 0.5 < unsure[smoothed] < 0.7
