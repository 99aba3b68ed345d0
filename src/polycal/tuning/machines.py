"""Which of several machines, that work on one training together, this one is."""

import os
from dataclasses import dataclass

from polycal.errors import InputError

_NUMBER = "SLURM_NODEID"  # srun tells each machine its own


@dataclass(frozen=True)
class Machines:
    """The machines of one training, and this one's place among them.

    Attributes:
        count: how many.
        number: of this one, from 0; the first one writes the result.
        meeting: HOST:PORT of the first, where the others find it; empty for one.
    """

    count: int = 1
    number: int = 0
    meeting: str = ""


ONE = Machines()


def find_machines(count: int, number: int | None, meeting: str | None) -> Machines:
    """What the flags of a verb say of the machines.

    Args:
        count: how many.
        number: of this one; None: what srun says.
        meeting: HOST:PORT of the first; needed where there are several.

    Raises:
        InputError: the flags do not say it, or contradict each other.
    """
    if count < 1:
        raise InputError(f"--nodes is {count}; it must be at least 1")
    if count == 1:
        return ONE
    host, _, port = (meeting or "").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            f"--nodes {count} needs --rendezvous HOST:PORT, an address of the first "
            f"machine that all reach, not {meeting!r}"
        )
    if number is None:
        if _NUMBER not in os.environ:
            raise InputError(
                f"--nodes {count} needs --node-rank, from 0 to {count - 1}, unless "
                "srun starts the command on every machine"
            )
        number = int(os.environ[_NUMBER])
    if not 0 <= number < count:
        raise InputError(f"--node-rank is {number}; it must be 0 to {count - 1}")
    return Machines(count, number, meeting)
