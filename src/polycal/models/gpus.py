"""GPU leases: reserve GPUs for a command on a machine that several jobs share.

A lease is a name in the kernel's table of abstract sockets: one table per machine, for
all users, without files. It is released when the command ends, however it ends.
"""

import errno
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import NoReturn

from polycal.errors import InputError
from polycal.verb import verb

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Set in jobs of SLURM, PBS, LSF, Grid Engine, HTCondor, which own their GPUs.
_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "_CONDOR_SLOT")
_LONGEST = 100  # characters of a socket's name; the UUID of a GPU has 40
_WAIT = 1.0  # seconds between two attempts to lock GPUs
_logger = logging.getLogger(__name__)


@verb()
def with_gpus(command: Sequence[str], *, count: int) -> NoReturn:
    """Reserve GPUs, then become the command, which sees only these.

    Waits until enough GPUs are free. Without an NVIDIA GPU, warn and run the command
    unchanged: it may use another kind of GPU, or the CPU. With a count of 0 the command
    sees no GPU.

    Args:
        count: number of GPUs that the command needs
        command: the command and its arguments, after --

    Raises:
        InputError: the machine, or `CUDA_VISIBLE_DEVICES`, offers too few GPUs; the
            driver does not answer; or there is no command or no such program.
    """
    if not command:
        raise InputError("there is no command; give one after --")
    if shutil.which(command[0]) is None:
        raise InputError(f"there is no program {command[0]}; check its name and PATH")
    uuids = list_visible_gpus() if count else {}
    if count and not uuids:
        _logger.warning("this machine has no NVIDIA GPU; the command runs unchanged")
    else:
        os.environ[VISIBLE] = ",".join(reserve(uuids, count) if count else ())
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts
    os.execvp(command[0], list(command))


def list_visible_gpus() -> dict[str, str]:
    """Return the usable GPUs: name for `CUDA_VISIBLE_DEVICES` -> name of the lock.

    A GPU is locked by its UUID, because its number may differ between jobs.
    """
    uuids = _ask_driver()
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return uuids
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if "-1" in names:  # CUDA ignores -1 and everything after it
        names = names[: names.index("-1")]
    return {name: uuids.get(name, name) for name in names}


def find_memory() -> float | None:
    """Return the bytes of memory of this machine's largest GPU; None if unknown."""
    sizes = [size.removesuffix(" MiB") for size in _ask_driver("memory.total").values()]
    return max((int(n) * 2.0**20 for n in sizes if n.isdecimal()), default=None)


def _ask_driver(field: str = "uuid") -> dict[str, str]:
    """Return the UUID, or another fact, of every GPU by its number.

    Empty without nvidia-smi.

    An error of nvidia-smi is raised: running on would use the CPU for days.
    """
    fields = [f"--query-gpu=index,{field}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            ["nvidia-smi", *fields], capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:
        return {}
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"nvidia-smi does not answer ({error}); check the driver"
        ) from None
    if answer.returncode:
        raise InputError(
            f"nvidia-smi fails ({answer.stdout.strip() or answer.stderr.strip()}); "
            "repair the driver, or set `gpus: 0` for a model that needs none"
        )
    lines = (line.split(", ") for line in answer.stdout.splitlines())
    return {fields[0]: fields[1] for fields in lines if len(fields) == 2}


def reserve(gpus: dict[str, str], count: int) -> list[str]:
    """Lock this many of the GPUs, wait until they are free, and return their names.

    This process and the program that it becomes keep the locks. GPUs that a cluster's
    scheduler gave to this job are not locked.

    Raises:
        InputError: there are fewer GPUs than `count`.
    """
    if len(gpus) < count:
        raise InputError(
            f"{count} GPUs are needed, but only {len(gpus)} may be used "
            f"({', '.join(gpus)}); lower the model's `gpus`, or list more in {VISIBLE}"
        )
    if len(gpus) == count and any(name in os.environ for name in _JOBS):
        return list(gpus)
    waiting = False
    while True:
        taken: dict[str, int] = {}
        for name, device in gpus.items():
            if len(taken) < count and (lock := _try_lock(device)) is not None:
                taken[name] = lock
        if len(taken) == count:
            for lock in taken.values():
                os.set_inheritable(lock, True)
            return list(taken)
        # Two jobs that each hold one and wait for two would never start.
        for lock in taken.values():
            os.close(lock)
        if not waiting:
            _logger.info("waiting for %d of the GPUs %s", count, ", ".join(gpus))
        waiting = True
        time.sleep(_WAIT)


def _try_lock(device: str) -> int | None:
    """Return an open socket that has a GPU's name; None if another process has it."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0polycal-gpu-{device}"[:_LONGEST])
    except OSError as error:
        lock.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return lock.detach()
