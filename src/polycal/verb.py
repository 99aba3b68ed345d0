"""Mark a function as a verb of the command line."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., None])


def verb(
    *, makes: str | None = None, without_pandas: bool = False
) -> Callable[[Function], Function]:
    """Mark a function as the verb of its name; `polycal.cli` finds it by this mark.

    Its parameters are the verb's flags: their types, defaults and help come from the
    signature and the docstring's `Args:`. Parameters that may be passed by position are
    positional arguments.

    Args:
        makes: the path that one process makes at a time, as a format string over the
            flags, such as `{out}`, or `{out}/` where a folder is replaced as a whole;
            None: no path.
        without_pandas: whether pandas is of no use to the verb, and is kept out.
    """

    def mark(function: Function) -> Function:
        vars(function).update(makes=makes, without_pandas=without_pandas)
        return function

    return mark
