"""Run one function in several processes of this machine that work on one training."""

import logging
import os
import sys
from collections.abc import Callable

from polycal.errors import InputError


def launch(function: Callable, argument: object, *, processes: int, name: str) -> None:
    """Call a function in so many processes, with torchrun's environment, and wait.

    A process that ends with an error ends the others. SIGTERM and Ctrl-C are passed on,
    and the processes have half a minute for what they do then; when this process is
    killed, they are interrupted.

    Args:
        function: of a module, because the processes import it.
        argument: its argument; it is pickled.
        processes: how many.
        name: what a message about bad input begins with.

    Raises:
        SystemExit: a process failed, and said why; or a signal ended them.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
    )
    level = logging.getLogger().level
    try:
        elastic_launch(config, _begin)(function, argument, level, name)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        sys.exit(failure.exitcode if failure.exitcode > 0 else 1)


def _begin(function: Callable, argument: object, level: int, name: str) -> None:
    """What a process does: log as its parent does, if it is the first, and work."""
    logging.basicConfig(
        level=level if rank() == 0 else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        function(argument)
    except InputError as error:
        sys.exit(f"{name}: {error}" if rank() == 0 else 1)


def rank() -> int:
    """The number of this process among those of the training; 0 is the first."""
    return int(os.environ.get("RANK", 0))


def count_processes() -> int:
    """How many processes work on the training that this one works on."""
    return int(os.environ.get("WORLD_SIZE", 1))
