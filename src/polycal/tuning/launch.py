"""Run one function in several processes that work on one training."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from polycal.errors import InputError
from polycal.tuning.machines import ONE, Machines

# What is passed on here. torch's own way kills the processes after half a minute, which
# can be less than a step and its checkpoint take.
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_PATIENCE = 600  # seconds until the other machines have to be there
_TO_SAY_IT = 10  # seconds until the first process has said what is wrong


def launch(
    function: Callable,
    argument: object,
    *,
    processes: int,
    name: str,
    machines: Machines = ONE,
) -> None:
    """Call a function in so many processes, with torchrun's environment, and wait.

    A process that ends with an error ends the others. SIGTERM and Ctrl-C are passed on,
    and the processes take the time that they need for what they do then; when this
    process is killed, they are interrupted.

    Args:
        function: of a module, because the processes import it.
        argument: its argument; it is pickled.
        processes: how many on this machine, and on each of the others.
        name: what a message about bad input begins with.
        machines: that this is called on, with the same arguments.

    Raises:
        InputError: the other machines were not there after ten minutes.
        SystemExit: a process failed, and said why; or a signal ended them.
    """
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    several = machines.nodes > 1
    config = LaunchConfig(
        min_nodes=machines.nodes,
        max_nodes=machines.nodes,
        nproc_per_node=processes,
        # The processes of the first machine have the first numbers: "static".
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=machines.rendezvous or "localhost:0",
        rdzv_configs={"rank": machines.node_rank, "timeout": _PATIENCE}
        if several
        else {},
        local_addr=None if several else "localhost",
        run_id="polycal" if several else "",
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
        signals_to_handle="SIGHUP,SIGQUIT",
    )
    level = logging.getLogger().level
    try:
        with _passing_on():
            elastic_launch(config, _begin)(function, argument, level, name)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        code = failure.exitcode
        sys.exit(code if code > 0 else 128 - code)  # as a shell tells of a signal
    except DistError as error:
        raise InputError(
            f"the {machines.nodes} machines did not meet at {machines.rendezvous} "
            f"within {_PATIENCE} s: {str(error).splitlines()[0]}"
        ) from error


@contextlib.contextmanager
def _passing_on() -> Iterator[None]:
    """Inside, signals are for the processes; without any they end this one."""

    def pass_on(number: int, _: object) -> None:
        working = multiprocessing.active_children()
        if not working:
            sys.exit(128 + number)
        for each in working:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        if rank() != 0:  # the first one says the same and ends the others
            time.sleep(_TO_SAY_IT)
        sys.exit(f"{name}: {error}")


def rank() -> int:
    """The number of this process among those of the training; 0 is the first."""
    return int(os.environ.get("RANK", 0))


def count_processes() -> int:
    """How many processes work on the training that this one works on."""
    return int(os.environ.get("WORLD_SIZE", 1))
