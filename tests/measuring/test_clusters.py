"""Standard errors over subjects: by hand, and by resampling whole subjects."""

import numpy as np
import pyarrow as pa
import pytest

from polycal.calibration import answer
from polycal.measuring.clusters import errors_by_subject


def make(subjects: int, of_each: int, spread: float) -> tuple:
    """Answers whose subjects differ in how often they are right."""
    chance = np.random.default_rng(0)
    easy = np.repeat(
        np.clip(0.5 + spread * chance.normal(size=subjects), 0, 1), of_each
    )
    right = chance.random(subjects * of_each) < easy
    scores = np.log([[0.7, 0.3]] * len(right))
    names = [f"s{index}" for index in range(subjects) for _ in range(of_each)]
    return answer(scores, (~right).astype(int)), pa.chunked_array([names])


def test_subjects_that_differ_are_less_sure():
    """As by resampling subjects; twice the error over questions here."""
    given, names = make(40, 25, 0.3)
    found = errors_by_subject(given, names)
    by_subject = given.top.correct.reshape(40, 25).mean(axis=1)
    chance = np.random.default_rng(1)
    drawn = [by_subject[chance.integers(0, 40, 40)].mean() for _ in range(2000)]
    assert found["accuracy"] == pytest.approx(np.std(drawn), rel=0.06)
    assert found["accuracy"] > 2 * given.top.correct.std() / np.sqrt(1000)
    assert found["gap"] == pytest.approx(found["accuracy"])  # confidence is the same
    assert found["confidence"] == pytest.approx(0, abs=1e-12)
    assert set(found) == {"accuracy", "confidence", "gap", "brier", "nll"}


def test_one_question_of_each_subject_is_the_ordinary_error():
    """The sample standard deviation over the root of N."""
    given, names = make(50, 1, 0.0)
    expected = given.top.correct.std(ddof=1) / np.sqrt(50)
    found = errors_by_subject(given, names)
    assert found["accuracy"] == pytest.approx(expected)


def test_few_subjects_have_no_error():
    """Nine, or questions without one."""
    given, names = make(9, 30, 0.1)
    assert errors_by_subject(given, names) == {}
    given, names = make(10, 3, 0.1)
    assert errors_by_subject(given, names)
    unknown = pa.chunked_array([[*names.to_pylist()[:-1], None]])
    assert errors_by_subject(given, unknown) == {}
