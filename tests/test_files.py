"""A result is complete or absent, whatever happens to the process that makes it."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polycal.files import copy_or_link, digest, exclusive, replacing


def test_a_file_appears_only_when_the_body_has_ended(tmp_path):
    """The final name does not exist before, and holds everything after."""
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_a_directory_replaces_an_older_one(tmp_path):
    """No file of the older directory survives in the new one."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [each.name for each in path.iterdir()] == ["new"]


def write_half(path):
    """A writer that fails in the middle."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_an_error_leaves_nothing_and_keeps_the_old(tmp_path):
    """A body that raises changes nothing on disk."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


KILLED = """
import sys, time, pathlib
from polycal.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


def test_kill_leaves_no_final_name_and_the_next_writer_cleans_up(tmp_path):
    """After SIGKILL there is only a temporary file, and the next writer removes it."""
    path = tmp_path / "a.txt"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_an_unwritable_folder_is_an_os_error_that_names_it(tmp_path):
    """A path below a file cannot be made; the error carries the path."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), replacing(tmp_path / "file" / "a"):
        pass


HOLDING = """
import sys, time, pathlib
from polycal.files import exclusive
with exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(path: Path, seconds: float) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_maker_waits_for_the_first(tmp_path):
    """The lock is taken only once the process that held it has ended."""
    first = hold(tmp_path / "a", 1.0)
    with exclusive(tmp_path / "a"):
        assert first.wait(timeout=1) == 0


def test_a_killed_maker_holds_nobody_up(tmp_path):
    """The lock of a killed process is free at once."""
    first = hold(tmp_path / "a", 60)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    start = time.monotonic()
    with exclusive(tmp_path / "a"):
        assert time.monotonic() - start < 5


def test_digest_sees_names_and_contents_but_not_folders(tmp_path):
    """A moved directory keeps its digest; a changed byte or name does not."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text("A")
        (tmp_path / folder / "b").write_text("B")
    one = digest((tmp_path / "one").iterdir())
    assert one == digest(sorted((tmp_path / "two").iterdir(), reverse=True))
    (tmp_path / "two" / "b").write_text("C")
    assert one != digest((tmp_path / "two").iterdir())
    (tmp_path / "one" / "b").rename(tmp_path / "one" / "c")
    assert one != digest((tmp_path / "one").iterdir())


def test_link_survives_the_removal_of_its_source(tmp_path):
    """What was linked is still whole when the source directory is made anew."""
    (tmp_path / "source").write_text("weights")
    copy_or_link(tmp_path / "source", tmp_path / "target")
    (tmp_path / "source").unlink()
    assert (tmp_path / "target").read_text() == "weights"


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, caplog):
    """The work is done; what nobody guards any more is in the warning."""

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with exclusive(tmp_path / "a"):
        (tmp_path / "a").write_text("made")
    assert "knows no locks (Operation not supported)" in caplog.text


def test_other_faults_of_a_lock_are_raised(tmp_path, monkeypatch):
    """An input or output error is none of a file system without locks."""

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="Input/output"), exclusive(tmp_path / "a"):
        pass
