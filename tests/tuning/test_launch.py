"""Two processes train what one process trains."""

import contextlib
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from study import wait_until
from tiny import make_tiny_conversations, make_tiny_examples, make_tiny_model, tune_tiny

from polycal.errors import InputError
from polycal.models import loading as models
from polycal.storage import tables
from polycal.tuning.launch import launch
from polycal.tuning.training import Training, train
from polycal.tuning.training_log import TrainingLog

CPU = torch.device("cpu")


def spread(training: Training) -> None:
    """Train with weights spread over the processes (FSDP), though there is no GPU.

    accelerate does that on accelerators only; the rest of it, and PyTorch, take CPUs.
    """
    from accelerate import state

    begin = state.AcceleratorState.__init__

    def pretend(self, *arguments: object, **options: object) -> None:
        state.PartialState(cpu=True)
        shared = state.PartialState._shared_state
        if shared["distributed_type"] == state.DistributedType.MULTI_CPU:
            shared["distributed_type"] = state.DistributedType.MULTI_GPU
        begin(self, *arguments, **options)

    state.AcceleratorState.__init__ = pretend
    close = TrainingLog.close_line

    def note(self, step: int, **columns: object) -> dict:
        if step == 4 and (training.out.parent / "crash").exists():
            os._exit(7)
        return close(self, step, **columns)

    TrainingLog.close_line = note
    train(training)


@pytest.fixture
def call(tmp_path):
    """Tune into `tmp_path` and return the candidate's directory."""
    base = make_tiny_model(tmp_path / "base")
    table = make_tiny_conversations(tmp_path / "toy.parquet", n=40)
    examples = make_tiny_examples(tmp_path / "examples", base=base, conversations=table)

    def call(name: str, *, processes: int, **recipe: object) -> Path:
        settings = {"lr": 1e-2, "max_steps": 6, "batch_size": 8, "micro_batch_size": 2}
        settings |= {"validation_fraction": 0.2, "lora_rank": 4, "dtype": "float32"}
        return tune_tiny(
            *(tmp_path / name, settings | recipe),
            base=base,
            examples=examples,
            checkpoint_minutes=0,
            processes=processes,
        )

    return call


def assert_equal(one: Path, other: Path, base: Path) -> None:
    """The same loss curve and the same weights, but for rounding."""
    logs = [
        tables.read(each / "training_log.parquet", "training_log").to_pylist()
        for each in (one, other)
    ]
    assert len(logs[0]) == 8  # six steps, validation before and after
    for first, second in zip(*logs, strict=True):
        assert first["tokens"] == second["tokens"]
        of_training = ("grad_norm", "learning_rate")
        for name in ("loss", "nll", *(of_training * (first["split"] == "train"))):
            assert first[name] == pytest.approx(second[name], rel=1e-5), name
    weights = [
        models.load_model(each, base=base, dtype=torch.float32, device=CPU).state_dict()
        for each in (one, other)
    ]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=2e-5)


@pytest.mark.slow
def test_two_processes_with_spread_weights_train_the_same(call, tmp_path, monkeypatch):
    """Where one of them dies, both end, and the next call goes on."""
    one = call("one", processes=1)
    monkeypatch.setattr("polycal.tuning.tune.train", spread)
    (tmp_path / "crash").touch()
    with pytest.raises(SystemExit, match="7"):
        call("two", processes=2)
    assert not (tmp_path / "two").exists()
    assert [path.name for path in tmp_path.glob("two.checkpoints/*/*-3")] == ["step-3"]
    (tmp_path / "crash").unlink()
    two = call("two", processes=2)
    assert_equal(one, two, tmp_path / "base")
    assert not (tmp_path / "two.checkpoints").exists()


@pytest.mark.slow
def test_two_machines_train_the_same_adapter(call, tmp_path):
    """One command on each; both hold all weights on a CPU (DDP), the first one writes.

    The lock of what is written is the first one's, so they do not wait for each other.
    """
    one = call("one", processes=1, method="lora", lora_dropout=0)
    commands = [
        [
            *(sys.executable, "-m", "polycal", "tune"),
            *("--base", tmp_path / "base", "--examples", tmp_path / "examples"),
            *("--model", "tiny", "--sft", "toy", "--smoothing", "0.1", "--seed", "0"),
            *("--lr", "1e-2", "--max-steps", "6", "--batch-size", "8"),
            *("--micro-batch-size", "2", "--validation-fraction", "0.2"),
            *("--method", "lora", "--lora-rank", "4", "--lora-dropout", "0"),
            *("--dtype", "float32", "--out", tmp_path / "two"),
            *("--checkpoint-minutes", "0"),
            *("--nodes", "2", "--node-rank", str(number)),
            *("--rendezvous", f"localhost:{find_port()}"),
        ]
        for number in range(2)
    ]
    commands[1][-1] = commands[0][-1]
    working = [subprocess.Popen(list(map(str, each))) for each in commands]
    assert [each.wait(400) for each in working] == [0, 0]
    assert_equal(one, tmp_path / "two", tmp_path / "base")
    assert not (tmp_path / "two.checkpoints").exists()


def find_port() -> int:
    """One that nobody listens at.

    The kernel gives none below 32768 to a process that asks for any port.
    """
    while True:
        port = random.SystemRandom().randint(30_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("localhost", port))
            return port


def test_a_batch_must_be_whole_micro_batches_of_all_processes(call):
    """Before anything is read."""
    with pytest.raises(InputError, match=r"batch_size 8 is not .* 2 x 3 processes"):
        call("out", processes=3)


def linger(begun: str) -> None:
    """End by a signal, but only after two seconds."""

    def end(number: int, _: object) -> None:
        time.sleep(2)
        Path(begun).write_text("ended in peace")
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    Path(begun).touch()
    time.sleep(1000)


def start_launcher(function: Callable, begun: Path) -> multiprocessing.Process:
    """Start a process that launches one process of a function and waits for it."""
    launcher = multiprocessing.get_context("fork").Process(
        target=launch,
        args=(function, str(begun)),
        kwargs={"processes": 1, "name": "polycal tune"},
    )
    launcher.start()
    return launcher


@pytest.mark.slow
def test_processes_take_their_time_after_a_signal(tmp_path, monkeypatch):
    """torch would kill them after TORCH_ELASTIC_SHUTDOWN_TIMEOUT, half a minute."""
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "1")
    begun = tmp_path / "begun"
    launcher = start_launcher(linger, begun)
    wait_until(begun.exists)
    os.kill(launcher.pid, signal.SIGTERM)
    launcher.join(400)
    assert launcher.exitcode == 143
    assert begun.read_text() == "ended in peace"


def be_deaf(begun: str) -> None:
    """Go on after Ctrl-C, as a process that hangs in a library does."""
    signal.signal(signal.SIGINT, lambda *_: Path(f"{begun}-heard").touch())
    Path(begun).write_text(str(os.getpid()))
    end = time.monotonic() + 1000
    while time.monotonic() < end:
        time.sleep(1)


@pytest.mark.slow
def test_a_second_ctrl_c_kills_processes_that_ignore_the_first(tmp_path):
    """The first gives them time; nobody has to look for them after the second."""
    begun = tmp_path / "begun"
    launcher = start_launcher(be_deaf, begun)
    wait_until(lambda: begun.exists() and begun.read_text())
    os.kill(launcher.pid, signal.SIGINT)
    wait_until((tmp_path / "begun-heard").exists)
    launcher.join(1)
    assert launcher.exitcode is None
    os.kill(int(begun.read_text()), 0)  # it is there
    os.kill(launcher.pid, signal.SIGINT)
    launcher.join(400)
    assert launcher.exitcode == 128 + signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def be_killed(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_is_told_as_a_shell_tells_it():
    """128 and the signal's number, so 137 where memory was short."""
    with pytest.raises(SystemExit, match="137"):
        launch(be_killed, None, processes=1, name="polycal tune")


def complain(words: str) -> None:
    raise InputError(words)


@pytest.mark.slow
def test_bad_input_is_told_once_as_any_verb_tells_it(capfd):
    """By one of two processes, in the one line that a verb prints."""
    with pytest.raises(SystemExit):
        launch(complain, "there is no b.txt", processes=2, name="polycal tune")
    assert capfd.readouterr().err.count("polycal tune: there is no b.txt") == 1
