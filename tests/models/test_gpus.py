"""GPU leases on a shared machine, without a GPU: nvidia-smi is a small script."""

import errno
import os
import secrets
import signal
import subprocess
import sys

import pytest

from polycal.errors import InputError
from polycal.models import gpus

RUN = []  # a token for each test
ASK = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"


def uuid(index):
    """The name of a GPU, which no other test locks."""
    return f"GPU-{RUN[-1]}-{index}"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Four GPUs, outside any cluster job, that no other test has."""
    RUN.append(secrets.token_hex(4))
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    lines = "".join(f"{index}, {uuid(index)}\\n" for index in range(4))
    driver.write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{driver.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(gpus, "_WAIT", 0.05)
    for name in (gpus.VISIBLE, *gpus._JOBS):
        monkeypatch.delenv(name, raising=False)
    return driver


def test_the_memory_is_that_of_the_largest_gpu(machine):
    """In MiB, as the driver counts; unknown where it says none, as on a Jetson."""
    machine.write_text(
        '#!/bin/sh\nprintf "0, 24564 MiB\\n1, 81559 MiB\\n2, [N/A]\\n"\n'
    )
    assert gpus.find_memory() == 81559 * 1024**2
    machine.write_text('#!/bin/sh\necho "0, [N/A]"\n')
    assert gpus.find_memory() is None


def start(count, code=ASK):
    """A job in its own process, as a rule starts it."""
    command = [sys.executable, "-m", "polycal", "with_gpus", "--count", str(count)]
    return subprocess.Popen(
        [*command, "--", sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def jobs():
    """Starts jobs, and ends them with the test."""
    started = []

    def begin(*arguments):
        started.append(start(*arguments))
        return started[-1]

    yield begin
    for job in started:
        job.kill()
        job.communicate()


def test_every_job_gets_gpus_of_its_own(jobs):
    """One, one and two of four GPUs, none of them twice."""
    seen = [jobs(count).stdout.readline().split() for count in (1, 1, 2)]
    names = [name for (line,) in seen for name in line.split(",")]
    assert [len(line.split(",")) for (line,) in seen] == [1, 1, 2]
    assert sorted(names) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_job_keeps_no_gpu(jobs, how):
    """A job that waits for all four goes on when another one is killed."""
    first = jobs(1)
    assert first.stdout.readline() == "0\n"
    waiting = jobs(4)
    assert "waiting for 4" in waiting.stderr.readline()
    first.send_signal(how)
    assert waiting.stdout.readline() == "0,1,2,3\n"


def test_waiting_for_two_holds_none(monkeypatch):
    """Two jobs that each lack a second GPU must not keep the first from each other."""
    other = gpus._try_lock(uuid(1))

    def look(_):
        lock = gpus._try_lock(uuid(0))
        assert lock is not None
        os.close(lock)
        os.close(other)

    monkeypatch.setattr(gpus.time, "sleep", look)
    taken = gpus.reserve({"0": uuid(0), "1": uuid(1)}, 2)
    assert taken == ["0", "1"]


def test_what_a_scheduler_made_visible_is_respected(monkeypatch):
    """Only the named GPUs are used; the same GPU is one lock under either name."""
    monkeypatch.setenv(gpus.VISIBLE, f"2,{uuid(3)}")
    assert gpus.list_visible_gpus() == {"2": uuid(2), uuid(3): uuid(3)}
    monkeypatch.setenv(gpus.VISIBLE, "1,-1,2")
    assert gpus.list_visible_gpus() == {"1": uuid(1)}
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert gpus.list_visible_gpus() == {}


def test_a_cluster_job_waits_for_nobody(monkeypatch):
    """SLURM may number the GPUs of every job from 0; that one is its own."""
    lock = gpus._try_lock(uuid(0))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert gpus.reserve({"0": uuid(0)}, 1) == ["0"]
    os.close(lock)


def test_too_few_gpus_are_an_error_before_any_waiting(monkeypatch):
    """The message says how many there are and what to change."""
    with pytest.raises(InputError, match=r"5 GPUs are needed, but only 4 .*`gpus`"):
        gpus.with_gpus(count=5, command=["true"])


@pytest.mark.parametrize(
    ("count", "sees", "said"),
    [(0, "''", ""), (1, "None", "no NVIDIA GPU; the command runs")],
)
def test_without_gpus_the_command_runs_as_it_is(machine, count, sees, said):
    """That a GPU was asked for in vain is said; the exit code is the command's own."""
    machine.unlink()
    code = f"import os, sys; sys.exit(3 * (os.environ.get('{gpus.VISIBLE}') == {sees}))"
    job = start(count, code)
    _, errors = job.communicate()
    assert job.returncode == 3
    assert said in errors


def test_a_driver_that_fails_is_no_machine_without_gpus(machine):
    """Going on would train on the CPU until the time limit."""
    machine.write_text("#!/bin/sh\necho driver mismatch; exit 9\n")
    with pytest.raises(InputError, match=r"fails \(driver mismatch\).*`gpus: 0`"):
        gpus.with_gpus(count=1, command=["true"])


def test_a_missing_command_is_named():
    """A spelling mistake is one line, not a traceback."""
    with pytest.raises(InputError, match="no program not-here"):
        gpus.with_gpus(count=0, command=["not-here"])


def test_no_file_decides_who_has_a_gpu(jobs, monkeypatch, tmp_path):
    """Another TMPDIR, umask or working directory does not give a GPU twice."""
    first = jobs(3)
    assert first.stdout.readline() == "0,1,2\n"
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        second = jobs(1)
        assert second.stdout.readline() == "3\n"
        assert "waiting for 1" in jobs(1).stderr.readline()
    finally:
        os.umask(before)


def test_a_socket_that_cannot_be_made_is_no_taken_gpu(monkeypatch):
    """Waiting for it would have no end."""

    def refuse(self, name):
        raise PermissionError(errno.EACCES, "sockets are forbidden here")

    monkeypatch.setattr(gpus.socket.socket, "bind", refuse)
    with pytest.raises(PermissionError):
        gpus._try_lock(uuid(0))
