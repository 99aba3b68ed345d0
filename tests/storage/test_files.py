"""A result is complete or absent, whatever happens to the process that makes it."""

import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from killing import die_before

from polycal.errors import InputError
from polycal.storage.files import (
    copy_or_link,
    digest,
    exclusive,
    replacing,
    replacing_folder,
)
from polycal.storage.provenance import write_provenance


def test_a_file_appears_only_when_the_body_has_ended(tmp_path):
    """The final name does not exist before, and holds everything after."""
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_replaces_one_that_polycal_made(tmp_path):
    """No file of the older folder survives in the new one."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    write_provenance(path)
    with replacing_folder(path) as temporary:
        (temporary / "new").touch()
    assert [each.name for each in path.iterdir()] == ["new"]


def test_a_folder_is_whole_or_absent_wherever_its_writer_dies(tmp_path):
    """The old one, the new one or none; the next writer leaves the new one only."""

    def write(path: Path, name: str) -> None:
        with replacing_folder(path) as temporary:
            write_provenance(temporary)
            for letter in "abc":
                (temporary / f"{name}-{letter}").touch()

    seen = set()
    for call in itertools.count():
        path = tmp_path / str(call) / "model"
        write(path, "old")
        died = die_before(call, lambda path=path: write(path, "new"))
        found = frozenset(each.name[:3] for each in path.glob("*-*"))
        assert len(list(path.glob("*"))) == 4 * len(found)
        seen.add(found)
        write(path, "new")
        assert {each.name[:3] for each in path.glob("*-*")} == {"new"}
        assert [each.name for each in path.parent.iterdir()] == ["model"]
        if not died:
            break
    assert seen == {frozenset(), frozenset({"old"}), frozenset({"new"})}


@pytest.mark.parametrize("name", [None, ".snakemake_timestamp"])
def test_an_empty_folder_is_replaced(tmp_path, name):
    """Snakemake leaves a hidden file of its own in a folder that is an output."""
    path = tmp_path / "model"
    path.mkdir()
    if name:
        (path / name).touch()
    with replacing_folder(path) as temporary:
        (temporary / "new").touch()
    assert [each.name for each in path.iterdir()] == ["new"]


@pytest.mark.parametrize(
    "files",
    [
        {"mine.txt": "m"},
        {"mine.txt": "m", "provenance.json": "{"},
        {"mine.txt": "m", "provenance.json": '{"made by": "another tool"}'},
        {"provenance.json": '["polycal"]'},
    ],
)
def test_a_user_s_folder_is_never_replaced(tmp_path, files):
    """Nor by a file; a folder does not replace a file."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    refused = pytest.raises(InputError, match="holds files that polycal did not make")
    with refused, replacing_folder(tmp_path):
        pass
    with pytest.raises(InputError, match="is a folder; name the file"):  # noqa: SIM117
        with replacing(tmp_path):
            pass
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == files
    (first, *_) = files
    refused = pytest.raises(InputError, match="is a file; name the folder")
    with refused, replacing_folder(tmp_path / first):
        pass


def test_leftovers_of_others_stay(tmp_path):
    """Of another path, of a living process, and of another machine for a week."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    names = {
        f".llama.{host}.{dead.pid}.partial": False,
        f".llama.{host}.{os.getppid()}.partial": True,
        f".llama.v2.{host}.{dead.pid}.partial": True,
        f".llama.other.{dead.pid}.partial": True,
        ".llama.json.backup.partial": True,
        f".llama.{host}.{10**30}.partial": False,
        f".llama.ancient.{dead.pid}.partial": False,
    }
    for name in names:
        (tmp_path / name).touch()
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(tmp_path / f".llama.ancient.{dead.pid}.partial", (long_ago, long_ago))
    with replacing(tmp_path / "llama") as temporary:
        temporary.touch()
    left = {each.name for each in tmp_path.iterdir()} - {"llama"}
    assert left == {name for name, stays in names.items() if stays}


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
from polycal.storage.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("written", flush=True)
    time.sleep(1000)
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
from polycal.storage.files import exclusive
with exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    pathlib.Path(sys.argv[1]).with_name("let-go").touch()
"""


def hold(path: Path, seconds: float) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_who_does_not_wait_is_told(tmp_path):
    """The lock's file goes with the one who holds it, and with nobody else."""
    with exclusive(tmp_path / "a") as mine, exclusive(tmp_path / "a", wait=False) as no:
        assert (mine, no) == (True, False)
    assert not list(tmp_path.iterdir())


def test_many_makers_hold_the_lock_one_after_the_other(tmp_path):
    """Although each removes the file that the others wait for."""
    inside, most = [], []

    def make(_: int) -> None:
        with exclusive(tmp_path / "a"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, range(200)))
    assert most == [1] * 200


def test_a_second_maker_waits_for_the_first(tmp_path):
    """The lock is taken only once the process that held it lets it go."""
    first = hold(tmp_path / "a", 2)
    with exclusive(tmp_path / "a"):
        assert (tmp_path / "let-go").exists()
    first.wait()


def test_a_killed_maker_holds_nobody_up(tmp_path):
    """The lock of a killed process is free at once."""
    first = hold(tmp_path / "a", 1000)
    first.kill()
    first.wait()
    with exclusive(tmp_path / "a", wait=False) as mine:
        assert mine


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
    assert "has no locks (Operation not supported)" in caplog.text


def test_other_faults_of_a_lock_are_raised(tmp_path, monkeypatch):
    """An input or output error is none of a file system without locks."""

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="Input/output"), exclusive(tmp_path / "a"):
        pass


def test_a_lock_that_is_a_pipe_is_refused(tmp_path):
    """Opening it must not wait for a writer."""
    os.mkfifo(tmp_path / ".a.lock")
    with (
        pytest.raises(OSError, match="not a regular file; delete it"),
        exclusive(tmp_path / "a"),
    ):
        pass
