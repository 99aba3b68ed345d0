"""The study on a real SLURM: what it submits, and what it survives."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Set
from pathlib import Path

import pytest
from slurm import SAVED_JOBS, Cluster, call, why_not
from study import (
    MEASURED,
    REPOSITORY,
    SMALL,
    jobs_of,
    measured,
    results,
    run_study,
    small_study,
    snakemake_command,
    wait_until,
    write_config,
)

from polycal.storage import tables
from polycal.storage.files import exclusive

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

STUDY = small_study(
    models=[
        {
            "name": "miniature",
            "repo": "./resources/miniature/model",
            "gpus": 1,
            "mem_mb": 3000,
            "runtime": {"tune": 20, "score": 7},
        },
    ],
    smoothing=[0.1],
    recipe={**SMALL["recipe"], "lr": [1e-3], "max_steps": 3},
    tasks=SMALL["tasks"][:1],
    scoring=["text"],
)
# What a job makes. As long as a test has its lock, the job waits at its beginning.
CANDIDATE = "results/candidates/miniature/alpaca-en/ls-0.1/lr-0.001/seed-0"
PREDICTIONS = (
    "results/predictions/miniature/alpaca-en/ls-0.1/seed-0/global_mmlu/en+he+sw.parquet"
)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one node, unless this machine lets none be started."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(Cluster())
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"SLURM does not start here: {error}")
        yield started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study, run on this machine without SLURM."""
    directory = tmp_path_factory.mktemp("undisturbed") / "study"
    write_config(directory, STUDY)
    run_study(directory)
    return directory


@pytest.fixture
def prepared(undisturbed, tmp_path):
    """The study with everything that needs no cluster, and nothing else."""
    write_config(tmp_path, STUDY)
    subprocess.run(["cp", "-a", undisturbed / "resources", tmp_path], check=True)
    (tmp_path / "results").mkdir()
    subprocess.run(["cp", "-a", undisturbed / "results/checks", tmp_path / "results"])
    yield tmp_path
    # A job whose node was lost may run on, beside the one that took its place.
    for process in jobs_of("snakemake", tmp_path):
        os.kill(process, signal.SIGKILL)


def submit(directory: Path, *arguments: str) -> subprocess.Popen:
    """Start snakemake as a user of a cluster does; its words go to a file."""
    command = snakemake_command(
        directory,
        *("--workflow-profile", str(REPOSITORY / "profiles/slurm")),
        *("--slurm-status-command", "squeue", "--slurm-no-account"),
        *("--slurm-init-seconds-before-status-checks", "1"),
        *("--seconds-between-status-checks", "2", "--latency-wait", "20"),
        *("--max-jobs-per-timespan", "60/1s"),
        *arguments,
    )
    with open(directory / "snakemake.log", "a") as log:
        return subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(snakemake: subprocess.Popen, directory: Path, seconds: float = 1200) -> None:
    """Wait for the end of a study that has to succeed."""
    try:
        code = snakemake.wait(seconds)
    finally:
        if snakemake.poll() is None:
            os.killpg(snakemake.pid, signal.SIGKILL)
    assert code == 0, (directory / "snakemake.log").read_text()[-8000:]


def submissions(directory: Path) -> list[str]:
    """The rule of every job that was submitted, in order."""
    text = (directory / "snakemake.log").read_text()
    jobs = re.findall(r"^rule (\w+):\n(?:.+\n)*?    jobid: (\d+)$", text, re.MULTILINE)
    rules = {number: rule for rule, number in jobs}
    sent = re.findall(r"^Job (\d+) has been submitted with SLURM", text, re.MULTILINE)
    return [rules[number] for number in sent]


def test_every_job_asks_for_what_its_model_needs(cluster, prepared, undisturbed):
    """One submission per checkpoint for all its languages, light rules none.

    GPU, memory and minutes are those of the model's entry.
    """
    finish(submit(prepared), prepared)
    sent = submissions(prepared)
    assert {rule: sent.count(rule) for rule in sent} == {
        "tune": 1,
        "score": 2,  # the base model and the tuned one, three languages each
        "measure": 2,
        "find_shifts": 1,
        "aggregate": 1,
    }
    columns = "Comment:100,tres-per-job:20,MinMemory:20,TimeLimit:20"
    lines = call("squeue", "-h", "-t", "all", "-O", columns).splitlines()
    for rule, *asked in (
        ("tune", "gres:gpu:1", "3000M", "20:00"),
        ("score", "gres:gpu:1", "3000M", "7:00"),
        ("measure", "N/A", "8000M", "1:00:00"),
    ):
        own = [line.split()[1:] for line in lines if f"rule_{rule}_" in line]
        assert own == [asked] * sent.count(rule)
    assert results(prepared) == results(undisturbed)


def test_a_training_works_on_two_nodes(cluster, prepared, undisturbed):
    """One submission, one command on each node; the losses are those of one process."""
    two = {**STUDY["models"][0], "nodes": 2}
    write_config(prepared, {**STUDY, "models": [two]})
    with cluster.second_node():
        finish(submit(prepared, CANDIDATE), prepared)
    assert submissions(prepared) == ["tune"]
    columns = "Comment:100,NumNodes:10,tres-per-job:20,tres-per-node:20,State:20"
    (job,) = [
        line.split()[1:]
        for line in call("squeue", "-h", "-t", "all", "-O", columns).splitlines()
        if "rule_tune_" in line and line.split()[1] == "2"
    ]
    assert job == ["2", "gres:gpu:2", "gres:gpu:1", "COMPLETED"]
    logs = [
        tables.read(
            each / CANDIDATE / "training_log.parquet", "training_log"
        ).to_pylist()
        for each in (prepared, undisturbed)
    ]
    for ours, theirs in zip(*logs, strict=True):
        assert ours["tokens"] == theirs["tokens"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


def test_a_disturbed_study_ends_as_an_undisturbed_one(cluster, prepared, undisturbed):
    """Every way in which a cluster ends a job, one after the other, in one study.

    The training job meets its time limit, is killed (as for memory), cancelled,
    and requeued; then the controller crashes while it runs. The node is drained, and
    set down, under the scoring jobs.
    """
    tunes, scores = (exclusive(prepared / each) for each in (CANDIDATE, PREDICTIONS))
    snakemake = submit(prepared, MEASURED, "--retries", "4")
    try:
        with scores:
            with tunes:
                job = disturb_training(cluster, prepared)
                wait_until_saved(job)
                cluster.stop_controller()
                cluster.start_controller()
            processes(PREDICTIONS, prepared)
            scoring = another(cluster, "score", set())
            cluster.set_node("drain")
            cluster.set_node("down")
            wait_until(lambda: not set(cluster.running("score")) & scoring)
            cluster.set_node("resume")
        finish(snakemake, prepared)
    finally:
        if snakemake.poll() is None:
            os.killpg(snakemake.pid, signal.SIGKILL)
    assert measured(prepared) == measured(undisturbed)


def disturb_training(cluster: Cluster, directory: Path) -> str:
    """End the training's job in four ways, and return the job that runs then."""
    (first,) = another(cluster, "tune", set())
    seen = processes("polycal tune", directory)
    call("scontrol", "update", f"jobid={first}", "timelimit=0:20")
    (second,) = another(cluster, "tune", {first})
    wait_until(lambda: "TIMEOUT" in call("scontrol", "show", "job", first))
    for process in processes("polycal tune", directory, seen):
        seen.add(process)
        os.kill(process, signal.SIGKILL)
    (third,) = another(cluster, "tune", {first, second})
    seen |= processes("polycal tune", directory, seen)
    call("scancel", third)
    (fourth,) = another(cluster, "tune", {first, second, third})
    seen |= processes("polycal tune", directory, seen)
    call("scontrol", "requeue", fourth)
    wait_until(lambda: "Restarts=1" in call("scontrol", "show", "job", fourth))
    wait_until(lambda: cluster.running("tune") == [fourth])
    processes("polycal tune", directory, seen)
    return fourth


def wait_until_saved(job: str) -> None:
    """Wait until the controller has begun to write down its jobs, and has done so.

    It does a few seconds after a job has changed, so the second time is another one.
    """

    def when() -> int:
        with contextlib.suppress(FileNotFoundError):  # while it is replaced
            return SAVED_JOBS.stat().st_mtime_ns
        return 0

    for minutes in (30, 40):
        before = wait_until(when)
        call("scontrol", "update", f"jobid={job}", f"timelimit={minutes}")
        wait_until(lambda before=before: when() > before)


def test_a_study_grows_beside_the_jobs_of_a_killed_snakemake(
    cluster, prepared, undisturbed
):
    """Kill -9 of snakemake while a training runs; one more language; then again.

    The job lives on. The next run's job waits for it, and does not train again; what
    is new is submitted, and the other languages' scores are what they were.
    """
    with exclusive(prepared / CANDIDATE):
        snakemake = submit(prepared)
        first = processes("polycal tune", prepared)
        os.killpg(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
        (task,) = STUDY["tasks"]
        grown = {**task, "languages": [*task["languages"], "zh"]}
        write_config(prepared, {**STUDY, "tasks": [grown]})
        snakemake = submit(prepared, MEASURED)
        second = processes("polycal tune", prepared, first)
        for process in second:
            os.kill(process, signal.SIGSTOP)
    wait_until((prepared / CANDIDATE).exists)
    for process in second:
        os.kill(process, signal.SIGCONT)
    finish(snakemake, prepared)
    (log,) = prepared.glob("logs/tune/**/*.log")
    assert "nothing is done" in log.read_text()
    before, after = measured(undisturbed), measured(prepared)
    scores = [name for name in before if "predictions" in name]
    assert all(after[name] == before[name] for name in scores)
    new = {name for name in after if "predictions" in name}.difference(scores)
    assert [Path(name).name for name in new] == ["zh.parquet"] * 2


def another(cluster: Cluster, rule: str, known: set[str]) -> set[str]:
    """The running jobs of a rule that are not known yet."""
    return wait_until(lambda: set(cluster.running(rule)) - known)


def processes(verb: str, directory: Path, seen: Set[int] = frozenset()) -> set[int]:
    """The processes of a verb in the directory, once there are any not seen before.

    A job's own processes: SLURM may end those of the job before it a little later.
    """
    return wait_until(lambda: set(jobs_of(verb, directory)) - seen)
