"""Nothing is lost and nothing silently wrong, whatever happens to a study."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from study import REPOSITORY

CAMPAIGN = REPOSITORY / "benchmarks" / "faults.py"


def test_every_kind_of_attack_is_held_or_named():
    """One trial of each kind; `benchmarks/faults.py` makes hundreds."""
    done = subprocess.run(
        [sys.executable, CAMPAIGN, "--quick"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = done.stdout.splitlines()[1:-1]
    assert len(kinds) >= 100
    assert done.stdout.splitlines()[-1].split()[-3:] == ["0", "0", "0"]


def fail_with(lines: str) -> Callable:
    def attack(trial) -> None:
        trial.call(lambda: sys.exit(lines))

    return attack


ATTACKS = {
    "held": lambda trial: None,
    "clear line": fail_with("polycal score: a.parquet is damaged"),
    "set aside": lambda trial: trial.call(
        lambda: logging.warning("step-2 is damaged; renamed to x")
    ),
    "lost": lambda trial: Path("a.txt").unlink(),
    "wrong": lambda trial: Path("a.txt").write_text("b"),
    "traceback": fail_with("two\nlines"),
}


@pytest.mark.parametrize("end", ATTACKS)
def test_the_campaign_tells_the_ends_apart(tmp_path, monkeypatch, end):
    """A campaign that could not find a fault would find none."""
    monkeypatch.syspath_prepend(CAMPAIGN.parent)
    import faults

    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a")
    expected = faults.read_study()
    assert faults.run_trial(ATTACKS[end], "0", expected)[0] == end


def test_what_must_be_refused_and_is_not_is_wrong(tmp_path, monkeypatch):
    """Nor may a user's own file change, or a process die."""
    monkeypatch.syspath_prepend(CAMPAIGN.parent)
    import faults

    def overwrite(trial) -> None:
        trial.add("mine.txt").write_text("yours")

    monkeypatch.chdir(tmp_path)
    assert faults.run_trial(overwrite, "0", {})[0] == "wrong"
    assert faults.run_trial(lambda t: t.taken.append("it"), "0", {})[0] == "wrong"
    assert faults.run_trial(lambda _: sys.exit(1), "0", {})[0] == "traceback"
    killed = faults.run_trial(lambda _: os.abort(), "0", {})
    assert killed == ("lost", "the process ended with status 6")
