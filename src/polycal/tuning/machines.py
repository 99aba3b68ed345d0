"""Node rank and rendezvous of multi-node training."""

import os
from dataclasses import dataclass, field

from polycal.errors import InputError

_SRUN_NODE = "SLURM_NODEID"  # srun sets it on each machine


@dataclass(frozen=True)
class Machines:
    """The machines of one training, and this machine's rank.

    Raises:
        InputError: a value is missing or out of range.
    """

    nodes: int = field(default=1, metadata={"help": "machines that run this command"})
    node_rank: int | None = field(
        default=None,
        metadata={"help": "rank of this machine; by default srun's"},
    )
    rendezvous: str | None = field(
        default=None,
        metadata={"help": "HOST:PORT of the first machine; needed with several"},
    )

    def __post_init__(self) -> None:
        """Check the values, and take the node rank from srun."""
        if self.nodes == 1:
            object.__setattr__(self, "node_rank", 0)
            object.__setattr__(self, "rendezvous", None)  # not a port that jobs share
            return
        host, _, port = (self.rendezvous or "").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(
                f"--nodes {self.nodes} needs --rendezvous HOST:PORT, an address of the "
                f"first machine that all machines reach, not {self.rendezvous!r}"
            )
        if self.node_rank is None:
            if _SRUN_NODE not in os.environ:
                raise InputError(
                    f"--nodes {self.nodes} needs --node-rank, from 0 to "
                    f"{self.nodes - 1}, unless srun starts the command on every machine"
                )
            object.__setattr__(self, "node_rank", int(os.environ[_SRUN_NODE]))
        if self.node_rank not in range(self.nodes):
            raise InputError(
                f"--node-rank is {self.node_rank}; it must be 0 to {self.nodes - 1}"
            )


ONE = Machines()
