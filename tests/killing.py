"""Kill a process between any two of its calls to the file system."""

import os
import sys
import traceback
from collections.abc import Callable

# Names of Python's audit events, which are raised before the calls.
_CALLS = ("open", "os.", "shutil.")
_KILLED = 9


def die_before(call: int, work: Callable[[], object]) -> bool:
    """Work in a process that dies at once before its call of this number, from 0.

    It is forked, so `work` must start no thread.

    Returns:
        Whether it died; work of fewer calls ends.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, _KILLED)
        return code == _KILLED
    left = call

    def count(event: str, _: object) -> None:
        nonlocal left
        if event.startswith(_CALLS):
            if not left:
                os._exit(_KILLED)  # nothing is tidied, as after SIGKILL
            left -= 1

    try:
        sys.addaudithook(count)
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
