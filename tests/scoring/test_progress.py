"""A job says how far it is, once a minute, and how long that will take."""

import logging
import re

import pytest

from polycal.scoring import progress
from polycal.scoring.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when the test says so."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_questions_done_and_minutes_left(clock, caplog):
    """After 30 of 100 questions in 60 s, 140 s are left; then the next after 60 s.

    The first part has 40 questions of two options: 60 options are 30 questions.
    """
    caplog.set_level(logging.INFO)
    follower = Progress(100)
    passed = []
    for option in follower.follow(range(80), n_options=80, n_questions=40):
        passed.append(option)
        clock[0] += 1
    assert passed == list(range(80))
    for _ in follower.follow(range(60), n_options=60, n_questions=60):
        clock[0] += 1
    told = re.findall(r"(\d+) of 100 questions, ([\d.]+) minutes left", caplog.text)
    assert told[0] == ("30", "2.3")
    # 20 s later the second part began; of its questions 40 are done after 40 s.
    assert told[1] == ("80", "0.5")
    assert len(told) == 2


def test_what_another_job_scored_is_no_work(clock, caplog):
    """Of 100 questions 60 are left: 30 done are half of them."""
    caplog.set_level(logging.INFO)
    follower = Progress(100, every=10)
    follower.skip(40)
    for _ in follower.follow(range(60), n_options=60, n_questions=60):
        clock[0] += 0.2
    assert "50 of 60 questions, 0.0 minutes left" in caplog.text
