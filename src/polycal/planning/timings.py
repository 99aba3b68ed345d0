"""What finished jobs took: the benchmark files that the workflow keeps of them."""

import csv
from collections.abc import Mapping
from pathlib import Path

from polycal.errors import InputError


def read_timings(folder: Path) -> dict[str, float]:
    """Wall-clock seconds of every finished job, by its address below the folder.

    Args:
        folder: tables of tab-separated values with a column `s`, one row per time
            that the job was run; it may be absent.

    Returns:
        Address without its suffix -> seconds, the mean where there are several rows.

    Raises:
        InputError: a file holds no time; the message names it.
    """
    found = {}
    for path in sorted(folder.rglob("*.tsv")):
        address = path.relative_to(folder).as_posix().removesuffix(".tsv")
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        try:
            seconds = [float(row["s"]) for row in rows]
            found[address] = sum(seconds) / len(seconds)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise InputError(
                f"{path} holds no seconds (column `s`); delete it"
            ) from None
    return found


def scored_files(timings: Mapping[str, float], run: str, task: str) -> list[str]:
    """Names of the finished scoring jobs of one run and task, such as `de+fr`."""
    place = f"score/{run}/{task}/"
    return [each.removeprefix(place) for each in timings if each.startswith(place)]
