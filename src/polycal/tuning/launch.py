"""Launch a training's processes as torchrun does, and forward signals to them."""

import contextlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import distributed

from polycal.errors import InputError
from polycal.tuning.machines import ONE, Machines

# Signals that are forwarded here: torch kills the processes 30 s after a signal, which
# can be too short for a step and its checkpoint.
_FORWARDED = (signal.SIGTERM, signal.SIGINT)
_RENDEZVOUS_TIMEOUT = 600  # seconds
_ERROR_DELAY = 600  # seconds; before, torch ends who waits for another one's error
# Variables by which launchers, accelerate's too, tell a process what it is.
_TOLD = re.compile(r"((LOCAL|GROUP|ROLE)_)?(RANK|WORLD_SIZE)|(ACCELERATE|FSDP)_\w+")


def launch(
    function: Callable,
    argument: object,
    *,
    processes: int,
    name: str,
    machines: Machines = ONE,
) -> None:
    """Call a function in several processes, in torchrun's environment, and wait.

    A process that fails ends the others. SIGTERM and Ctrl-C are forwarded, and the
    processes take the time that they need to stop; the same signal once more kills
    them. If this process is killed, they are interrupted.

    Args:
        function: of a module, because the processes import it.
        argument: its argument; it is pickled.
        processes: number of processes per machine.
        name: verb that an error message begins with.
        machines: machines that call this with the same arguments.

    Raises:
        InputError: the machines did not meet within ten minutes.
        SystemExit: a process failed and logged why, or a signal ended the processes.
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
        # "static" gives the lowest ranks to the first machine, which writes.
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=machines.rendezvous or "localhost:0",
        rdzv_configs={"rank": machines.node_rank, "timeout": _RENDEZVOUS_TIMEOUT}
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
        with _forwarding_signals(), tempfile.TemporaryDirectory() as folder:
            told = Path(folder, "told")
            elastic_launch(config, _work)(function, argument, level, name, told)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        code = failure.exitcode
        sys.exit(code if code > 0 else 128 - code)  # as a shell reports a signal
    except DistError as error:
        raise InputError(
            f"the {machines.nodes} machines did not meet at {machines.rendezvous} "
            f"within {_RENDEZVOUS_TIMEOUT} s: {str(error).splitlines()[0]}"
        ) from error


@contextlib.contextmanager
def _forwarding_signals() -> Iterator[None]:
    """Context manager: forward signals to the processes for the duration.

    A process that hangs in a library ignores a signal. Who sends it twice wants an end:
    checkpoints are complete or absent, so killing loses what follows the last one.
    """
    forwarded = set()

    def forward(number: int, _: object) -> None:
        children = multiprocessing.active_children()
        pids = [child.pid for child in children if child.pid is not None]
        if not pids:
            sys.exit(128 + number)
        sent = signal.SIGKILL if number in forwarded else number
        forwarded.add(number)  # at once: the next signal can interrupt this function
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(
    function: Callable, argument: object, level: int, name: str, told: Path
) -> None:
    """Set up logging in a process of the training, and call the function.

    An error is told by the process that makes the file `told`.
    """
    logging.basicConfig(
        level=level if process_rank() == 0 else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        function(argument)
    except InputError as error:
        try:
            told.touch(exist_ok=False)
        except FileExistsError:
            time.sleep(_ERROR_DELAY)
        sys.exit(f"{name}: {error}")


def forget_launchers() -> None:
    """Remove what other launchers left in the environment, such as a job script's RANK.

    A lone process of rank 1 would train weights that nobody sends, and with
    ACCELERATE_MIXED_PRECISION in another dtype than it notes.
    """
    for name in filter(_TOLD.fullmatch, list(os.environ)):
        del os.environ[name]


def process_rank() -> int:
    """Return the rank of this process in the training; 0 is the first."""
    return int(os.environ.get("RANK", 0))


def wait_for_all() -> None:
    """Wait until all processes of the training are here."""
    if count_processes() > 1:
        distributed.barrier()


def count_processes() -> int:
    """Return how many processes work on this process's training."""
    return int(os.environ.get("WORLD_SIZE", 1))
