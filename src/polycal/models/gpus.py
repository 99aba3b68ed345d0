"""Give a command GPUs of its own on a machine that several jobs share.

A GPU is held by a lock on a file. The lock is the kernel's and belongs to the command,
so it is gone when the command is, however that ends.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from polycal.errors import InputError
from polycal.verb import verb

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Set within a job of SLURM, PBS, LSF, Grid Engine, HTCondor: its GPUs are its own.
_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "_CONDOR_SLOT")
_WAIT = 1.0  # seconds between two looks at GPUs that are taken
_logger = logging.getLogger(__name__)


@verb()
def with_gpus(command: Sequence[str], *, count: int) -> NoReturn:
    """Wait until so many GPUs are free, then become the command, which sees only them.

    Where there is no NVIDIA GPU the command is run as it is, and a warning is given: it
    may find a GPU of another kind, or take the CPU. With a count of 0 it sees no GPU.

    Args:
        count: GPUs that the command needs.
        command: the program and its arguments.

    Raises:
        InputError: the machine, or what `CUDA_VISIBLE_DEVICES` leaves of it, has too
            few GPUs, or does not answer for them; or there is no command or no such
            program.
    """
    if not command:
        raise InputError("there is no command; it stands after --")
    if shutil.which(command[0]) is None:
        raise InputError(f"there is no program {command[0]}")
    held = list_gpus() if count else {}
    if count and not held:
        _logger.warning("no NVIDIA GPU was found on this machine")
    else:
        os.environ[VISIBLE] = ",".join(hold(held, count) if count else ())
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts
    os.execvp(command[0], list(command))


def list_gpus() -> dict[str, str]:
    """The GPUs that may be used: name for `CUDA_VISIBLE_DEVICES` -> what is locked.

    A GPU is locked by its UUID, because its number may differ between two jobs.
    """
    uuids = _ask_driver()
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return uuids
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if "-1" in names:  # CUDA reads up to the first number that is no device
        names = names[: names.index("-1")]
    return {name: uuids.get(name, name) for name in names}


def _ask_driver() -> dict[str, str]:
    """The UUID of every GPU by its number; empty without NVIDIA's tool.

    Raises:
        InputError: the tool fails; going on would take the CPU for days.
    """
    fields = ["--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        found = subprocess.run(
            ["nvidia-smi", *fields], capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:
        return {}
    except subprocess.TimeoutExpired as error:
        raise InputError(f"nvidia-smi does not answer ({error}); look at it") from None
    if found.returncode:
        raise InputError(
            f"nvidia-smi fails ({found.stdout.strip() or found.stderr.strip()}); mend "
            "it, or set `gpus: 0` for a model that needs none"
        )
    lines = (line.split(", ") for line in found.stdout.splitlines())
    return {fields[0]: fields[1] for fields in lines if len(fields) == 2}


def hold(gpus: dict[str, str], count: int) -> list[str]:
    """Lock so many of the GPUs, waiting for them if need be.

    The locks are kept by this process and by the program that it becomes. What a
    cluster's scheduler gave a job is the job's own and not locked.

    Args:
        gpus: as `list_gpus` gives them.
        count: how many of them.

    Returns:
        Their names, in the order of `gpus`.

    Raises:
        InputError: there are fewer.
    """
    if len(gpus) < count:
        raise InputError(
            f"{count} GPUs are needed, but only {len(gpus)} may be used "
            f"({', '.join(gpus)}); lower `gpus` of the model, or set {VISIBLE} to more"
        )
    if len(gpus) == count and any(name in os.environ for name in _JOBS):
        return list(gpus)
    waiting = False
    while True:
        taken: dict[str, int] = {}
        for name, device in gpus.items():
            if len(taken) < count and (lock := _try(device)) is not None:
                taken[name] = lock
        if len(taken) == count:
            for lock in taken.values():
                os.set_inheritable(lock, True)
            return list(taken)
        for lock in taken.values():  # two jobs that wait for two must not hold one each
            os.close(lock)
        if not waiting:
            _logger.info("waiting for %d of the GPUs %s", count, ", ".join(gpus))
        waiting = True
        time.sleep(_WAIT)


def _try(device: str) -> int | None:
    """An open file with the lock of a GPU; None if somebody else has it."""
    lock = os.open(_lock_file(device), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _lock_file(device: str) -> Path:
    """The file of a GPU, which every user of the machine can lock and nobody write."""
    folder = Path(tempfile.gettempdir()) / "polycal-gpus"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    path = folder / device.replace("/", "-")
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444))
    return path
