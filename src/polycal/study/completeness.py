"""Check how many rows of a source were read, and how many of them were dropped."""

import logging
from collections.abc import Mapping, Sequence

from polycal.errors import InputError, join_lines

# Share of the rows that may be dropped for one reason: a few rows of a pinned revision
# are wrong and cannot be corrected; more mean a wrong setting, or lost data.
MOST_FAULTY = 0.01
MOST_DROPPED = 0.1
_FEWEST = 10  # rows of which one may be dropped, though 1 % of them is less than one
SHOWN = 3  # faulty rows that a message lists
FAULTY = "dropped_faulty"  # rows that contradict themselves or the format
_logger = logging.getLogger(__name__)


def list_faults(faults: Sequence[str], n: int) -> str:
    """Return the first of n faulty rows as a part of a message."""
    return join_lines("; ".join(faults[:SHOWN])) + "; ..." * (n > SHOWN)


def check_dropped(
    title: str,
    counts: Mapping[str, int],
    limits: Mapping[str, tuple[float, str]],
    max_dropped: float | None = None,
    faults: str = "",
) -> None:
    """Refuse a source of which too many rows were dropped.

    One row in ten or more always may be, unless the study says its own share.

    Args:
        title: name of the source in messages.
        counts: `rows`, and the rows that were dropped by reason.
        limits: reason -> share that may be dropped, and what a user should look at.
        max_dropped: the study's own share, in place of each limit.
        faults: the first faulty rows, as `list_faults` returns them.

    Raises:
        InputError: a reason is above its limit.
    """
    rows = counts["rows"]
    spared = int(max_dropped is None and rows >= _FEWEST)
    for reason, (share, advice) in limits.items():
        most = share if max_dropped is None else max_dropped
        if counts[reason] > max(spared, most * rows):
            name = reason.removeprefix("dropped_").replace("_", " ")
            advice = f"{faults}; {advice}" if reason == FAULTY else advice
            raise InputError(
                f"{title}: {counts[reason]} of {rows} rows are dropped "
                f"({name}), more than {most:.0%}; {advice}"
            )


def check_size(title: str, rows: int, stated: int | None, *, is_local: bool) -> None:
    """Compare the rows that were read with those that README.md states.

    A pinned revision of the Hub is complete once it is downloaded, so there a
    difference is an error of its README.md and only logged.

    Raises:
        InputError: the numbers differ, and the source is a directory.
    """
    if stated in (None, rows):
        return
    text = f"{title} has {rows} rows, but README.md (dataset_info) states {stated}"
    if is_local:
        raise InputError(f"{text}; complete the files, or correct README.md")
    _logger.warning("%s", text)
