"""A clock that was set back leaves no file in the future."""

import os
import time
from pathlib import Path

import pytest

from polycal.study import clock

DAY = 86_400


def write(path: Path, seconds: float) -> Path:
    """A file that is dated so many seconds from now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    moment = time.time() + seconds
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def logs(tmp_path):
    """The logs' folder, with the log of a run that ended tomorrow."""
    write(tmp_path / "log" / "old.log", -DAY)
    write(tmp_path / "log" / "new.log", DAY)
    return tmp_path / "log"


def test_files_of_the_future_are_of_now_in_their_order(logs, tmp_path):
    """Later than all of the past, earlier than what is made next."""
    folder = tmp_path / "results"
    files = [
        write(folder / name, seconds)
        for name, seconds in (
            ("old", -DAY),
            ("just now", -1),
            ("a.parquet", DAY - 9),
            ("sub/.hidden", DAY - 3),
            ("b.parquet", DAY - 2.999),
        )
    ]
    before = time.time()
    assert clock.rewind_future(logs, [folder]) == 4
    times = [path.stat().st_mtime for path in files]
    assert times == sorted(set(times))
    assert before <= times[-1] <= time.time()
    assert clock.rewind_future(logs, [folder]) == 0


def test_clocks_of_machines_differ_by_seconds(tmp_path):
    """That is no clock that was set back."""
    write(tmp_path / "log" / "a.log", 60)
    path = write(tmp_path / "results" / "a", 60)
    before = path.stat().st_mtime
    assert clock.rewind_future(tmp_path / "log", [tmp_path / "results"]) == 0
    assert path.stat().st_mtime == before


def test_nothing_is_looked_through_without_a_log_of_the_future(tmp_path):
    """A user's file may have any time, and a study has many."""
    path = write(tmp_path / "results" / "a", DAY)
    assert clock.rewind_future(tmp_path / "log", [tmp_path / "results"]) == 0
    assert path.stat().st_mtime > time.time() + DAY / 2


def test_somebody_else_s_files_are_left(logs, tmp_path, monkeypatch, caplog):
    """With a line that names them; the others are dated back."""
    write(tmp_path / "results" / "theirs", DAY)
    utime = os.utime

    def refuse(path, **times):
        if path.name == "theirs":
            raise PermissionError(1, "Operation not permitted")
        utime(path, **times)

    monkeypatch.setattr(os, "utime", refuse)
    assert clock.rewind_future(logs, [tmp_path / "results"]) == 1
    assert "1 of them cannot be dated back, as " in caplog.text
    assert "theirs: Operation not permitted" in caplog.text
    assert max(path.stat().st_mtime for path in logs.iterdir()) <= time.time()
