"""Training callbacks: checkpoints, signals and divergence."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model, tune_tiny

from polycal.errors import InputError
from polycal.storage import tables
from polycal.storage.files import digest
from polycal.storage.provenance import read_provenance
from polycal.tuning.checkpoints import Checkpoints
from polycal.tuning.selection import select
from polycal.tuning.training_log import TrainingLog

MEASURED = ("tokens_per_second", "tflops", "memory_gib")  # differ each time
RECIPE = {
    "lr": 1e-2,
    "max_steps": 12,  # three epochs of four steps
    "batch_size": 8,
    "micro_batch_size": 4,
    "validation_fraction": 0.2,
    "lora_rank": 4,
    "attention_dropout": 0.1,
    "dtype": "float32",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def examples(tmp_path_factory, base) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    table = make_tiny_conversations(folder / "toy.parquet", n=40)
    return make_tiny_examples(folder / "toy", base=base, conversations=table)


@pytest.fixture
def call(tmp_path, base, examples):
    """Tune into `tmp_path` with a checkpoint at every step; return the directory."""

    def call(name: str, *, minutes: float = 0, **recipe: object) -> Path:
        settings = RECIPE | recipe
        places = {"base": base, "examples": examples}
        return tune_tiny(
            tmp_path / name, settings, **places, checkpoint_minutes=minutes
        )

    return call


def contents(candidate: Path) -> dict:
    """Everything that a candidate holds, but for times."""
    log = tables.read(candidate / "training_log.parquet", "training_log")
    others = (path for path in candidate.iterdir() if path.suffix != ".parquet")
    return {
        "log": log.drop_columns([*MEASURED]).to_pylist(),
        **{path.name: digest([path]) for path in others},
    }


@pytest.fixture
def crash(call, monkeypatch):
    """Tune until something happens in the log's line of a step."""

    def crash(step: int, happens: Callable, *arguments: object, **recipe: object):
        close = TrainingLog.close_line

        def fail(self, number: int, **columns: object) -> dict:
            if number == step:  # the weights have changed
                happens(*arguments)
            return close(self, number, **columns)

        with monkeypatch.context() as patch:
            patch.setattr(TrainingLog, "close_line", fail)
            call("disturbed", **recipe)

    return crash


def fail() -> None:
    raise MemoryError


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_training_that_was_cut_off_goes_on(
    call, crash, tmp_path, monkeypatch, method
):
    """By an error or Ctrl-C, within an epoch and at its end: the same bytes."""
    undisturbed = contents(call("undisturbed", method=method, minutes=99))
    for step in (2, 5):
        with pytest.raises(MemoryError):
            crash(step, fail, method=method)
        assert not (tmp_path / "disturbed").exists()
    with pytest.raises(SystemExit, match="130"):
        crash(9, os.kill, os.getpid(), signal.SIGINT, method=method, minutes=99)
    seen = []
    train = TrainingLog.count
    monkeypatch.setattr(
        TrainingLog, "count", lambda self, found: seen.append(0) or train(self, found)
    )
    assert contents(call("disturbed", method=method)) == undisturbed
    assert len(seen) == 2 * 2, "the two steps that were left, of two micro-batches"
    assert {path.name for path in tmp_path.iterdir()} == {"undisturbed", "disturbed"}


def test_other_settings_begin_anew(call, crash):
    """What is left of another learning rate is not gone on from."""
    expected = contents(call("undisturbed", lr=1e-3))
    with pytest.raises(MemoryError):
        crash(5, fail)
    assert contents(call("disturbed", lr=1e-3)) == expected


def test_what_is_made_is_not_made_again(call, monkeypatch, tmp_path):
    """As by a job that waited for the orphan of a killed workflow; but for other data.

    The base model is not even loaded. Checkpoints of a process that died before it
    removed them go.
    """
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "remove", lambda self: fail())
        with pytest.raises(MemoryError):
            call("out", max_steps=2)
    out = tmp_path / "out"
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr("polycal.tuning.training.make_network", None)
        assert contents(call("out", max_steps=2)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert contents(call("out", max_steps=1)) != before


# A training that waits at a step as long as there is a file of its number.
HELD = """
import runpy, sys, time
from pathlib import Path
from polycal.tuning.training_log import TrainingLog

close, folder = TrainingLog.close_line, Path(sys.argv.pop(1))

def close_held(self, step, **columns):
    while (folder / str(step)).exists():
        time.sleep(0.05)
    return close(self, step, **columns)

TrainingLog.close_line = close_held
runpy.run_module("polycal", run_name="__main__")
"""


@pytest.mark.slow
def test_killed_processes_leave_an_undisturbed_result(tmp_path, base, examples):
    """SIGKILL and SIGTERM of real processes at any moment: the same bytes.

    None of them ends before its signal, however late that is sent.
    """
    running = []

    def start(name: str) -> subprocess.Popen:
        flags = {**RECIPE, "method": "lora", "model": "m", "sft": "s", "smoothing": 0.1}
        flags |= {"seed": 0, "base": base, "examples": examples}
        flags |= {"checkpoints": tmp_path / f"{name}-kept", "checkpoint_minutes": 0}
        flags |= {"max_steps": 40, "out": tmp_path / name}
        spelt = [
            word
            for flag, value in flags.items()
            for word in (f"--{flag.replace('_', '-')}", str(value))
        ]
        command = [sys.executable, "-c", HELD, str(tmp_path / f".{name}"), "tune"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = {"stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([*command, *spelt], env=env, **pipe))
        return running[-1]

    def steps_kept() -> int:
        kept = (tmp_path / "disturbed-kept").glob("*/step-*")
        return max((int(path.name[5:]) for path in kept), default=0)

    (tmp_path / ".disturbed").mkdir()
    try:
        undisturbed = start("undisturbed")
        for number, code, last in (
            (signal.SIGKILL, -signal.SIGKILL, 20),
            (signal.SIGTERM, 128 + signal.SIGTERM, 35),
        ):
            hold = tmp_path / f".disturbed/{last}"
            hold.touch()
            before = steps_kept()
            process = start("disturbed")
            while steps_kept() < before + 3 and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(number)
            hold.unlink()
            _, words = process.communicate(timeout=400)
            assert process.returncode == code, words
            assert not (tmp_path / "disturbed").exists()
            assert before < steps_kept() < 40
        for process in (start("disturbed"), undisturbed):
            _, words = process.communicate(timeout=400)
            assert process.returncode == 0, words
    finally:
        for process in running:
            process.kill()
    assert contents(tmp_path / "disturbed") == contents(tmp_path / "undisturbed")
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {"disturbed", "undisturbed"}


def test_a_diverged_training_ends_at_once_and_select_passes_it_over(
    call, tmp_path, caplog
):
    """A rate that no training bears: no weights, a reason, and another is selected."""
    settings = {"max_steps": 20, "warmup_ratio": 0, "max_grad_norm": 0}
    bad = call("bad", lr=10.0, **settings)
    lines = tables.read(bad / "training_log.parquet", "training_log").to_pylist()
    assert len(lines) < 10
    assert {path.name for path in bad.iterdir()} == {
        "provenance.json",
        "recipe.json",
        "training_log.parquet",
    }
    reason = read_provenance(bad)["diverged"]
    assert "the loss" in reason
    assert reason in caplog.text
    good = call("good", **settings)
    assert read_provenance(good)["diverged"] is None
    select(candidates=[bad, good], seed=0, out=tmp_path / "run")
    chosen = json.loads((tmp_path / "run/selection.json").read_text())
    assert chosen["lr"] == RECIPE["lr"]
    assert [each["diverged"] for each in chosen["candidates"]] == [None, reason]
    with pytest.raises(InputError, match=r"all .* diverged.*add a smaller one"):
        select(candidates=[bad], seed=0, out=tmp_path / "none")


def test_a_loss_that_blows_up_is_divergence(call):
    """Finite, but far beyond that of a model that knows nothing."""
    bad = call("bad", lr=10.0, max_steps=50, warmup_ratio=0, max_grad_norm=0)
    assert "the loss blew up" in read_provenance(bad)["diverged"]
    log = tables.read(bad / "training_log.parquet", "training_log")
    assert log.num_rows < 50
