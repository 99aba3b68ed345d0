"""Snakemake around jobs that do nothing, or hang: what it costs, how it stops."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from study import (
    STUB,
    copy_checkout,
    jobs_of,
    small_study,
    snakemake,
    snakemake_command,
    wait_until,
    write_config,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def house(tmp_path):
    """A study, and the Snakefile of a checkout whose jobs do nothing."""
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout / "src/polycal/__main__.py").write_text(STUB)
    directory = tmp_path / "study"
    write_config(directory, small_study())
    (directory / "slow").touch()
    return directory, checkout / "Snakefile"


TRAINING = "results/candidates/miniature/alpaca-en/ls-0/lr-0.001/seed-0"


def test_snakemake_looks_for_jobs_when_one_ends_and_then_sleeps(house):
    """Its own limit per second adds a look a second for every job that ended.

    It looks while a job waits for a core: of two trainings one does.
    """
    directory, snakefile = house
    targets = (TRAINING, TRAINING.replace("0.001", "0.002"))
    done = snakemake(
        directory, "--cores", "1", "--verbose", *targets, snakefile=snakefile
    )
    assert done.returncode == 0, done.stdout[-4000:]
    ended = len(re.findall(r"^Finished jobid", done.stdout, flags=re.MULTILINE))
    looks = len(re.findall(r"^Ready jobs: ", done.stdout, flags=re.MULTILINE))
    assert ended >= 5
    assert 0 < looks <= ended


def _interrupt(process: subprocess.Popen) -> int | None:
    """Press Ctrl-C once more, and give it three seconds; its exit code.

    On a busy machine snakemake may still be handling the first one, and a second one
    that comes then is not enough.
    """
    os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    return process.returncode


def test_ctrl_c_twice_ends_snakemake_though_a_job_hangs(house):
    """The job lives on; once it is gone, the next run finishes the study."""
    directory, snakefile = house
    (directory / "hang").touch()
    command = snakemake_command(
        directory, "--cores", "2", "--verbose", TRAINING, snakefile=snakefile
    )
    log = directory / "log"
    with log.open("w") as words:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell's background job ignores Ctrl-C, and what it starts does, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    hanging = []
    try:
        wait_until((directory / "hangs").exists)
        # A job can hang before the scheduler that began it has come to wait for it.
        begun = "rule tune:"
        wait_until(lambda: "Waiting for running" in log.read_text().partition(begun)[2])
        hanging = jobs_of("polycal tune", directory)
        assert hanging
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        wait_until(lambda: _interrupt(process) is not None)
        assert process.returncode != 0
        assert set(jobs_of("polycal tune", directory)) == set(hanging)
    finally:
        for job in hanging:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert not Path(directory / TRAINING).exists()
    (directory / "hang").unlink()
    done = snakemake(directory, "--cores", "2", TRAINING, snakefile=snakefile)
    assert done.returncode == 0, done.stdout[-4000:]
