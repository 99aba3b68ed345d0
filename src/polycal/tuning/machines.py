"""Node rank and rendezvous of multi-node training."""

import os
from dataclasses import dataclass, field

from polycal.errors import InputError

_SRUN_NODE = "SLURM_NODEID"  # srun's number of the node that it starts a task on


@dataclass(frozen=True)
class Machines:
    """The nodes of one training, and this one's rank among them.

    Attributes:
        nodes: how many.
        node_rank: of this one, from 0; the first one writes the result. None: srun's.
        rendezvous: HOST:PORT of the first, where the others find it; not used for one.

    Raises:
        InputError: the values do not say it, or contradict each other.
    """

    nodes: int = field(default=1, metadata={"help": "machines that this is called on"})
    node_rank: int | None = field(
        default=None, metadata={"help": "of this machine, from 0; none: srun knows"}
    )
    rendezvous: str | None = field(
        default=None,
        metadata={"help": "HOST:PORT of the first machine, if there are several"},
    )

    def __post_init__(self) -> None:
        """Check the values, and take the node rank from srun."""
        if self.nodes < 1:
            raise InputError(f"--nodes is {self.nodes}; it must be at least 1")
        if self.nodes == 1:
            object.__setattr__(self, "node_rank", 0)
            return
        host, _, port = (self.rendezvous or "").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(
                f"--nodes {self.nodes} needs --rendezvous HOST:PORT, an address of the "
                f"first machine that all reach, not {self.rendezvous!r}"
            )
        if self.node_rank is None:
            if _SRUN_NODE not in os.environ:
                raise InputError(
                    f"--nodes {self.nodes} needs --node-rank, from 0 to "
                    f"{self.nodes - 1}, unless srun starts the command on every machine"
                )
            object.__setattr__(self, "node_rank", int(os.environ[_SRUN_NODE]))
        if not 0 <= self.node_rank < self.nodes:
            raise InputError(
                f"--node-rank is {self.node_rank}; it must be 0 to {self.nodes - 1}"
            )


ONE = Machines()
