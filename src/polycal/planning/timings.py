"""What finished jobs took: the tables that the workflow keeps of them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polycal.errors import InputError
from polycal.storage import tables
from polycal.study import layout

_LOG = "training_log.parquet"


@dataclass(frozen=True)
class Timing:
    """What one job took.

    Attributes:
        seconds: by the wall clock, the mean where the job was run several times. Of a
            training they hold what it waited for a GPU, and lack what it did before it
            was interrupted.
        training: seconds of a training's steps, by its log; None if there is no log.
        questions: that a scoring job scored, each once for every scoring; 0 if all
            scores were in the store.
        scoring: seconds of scoring them.
        loading: seconds of loading the model.
    """

    seconds: float
    training: float | None = None
    questions: int = 0
    scoring: float = 0.0
    loading: float = 0.0


def read_timings(results: Path) -> dict[str, Timing]:
    """What every finished job took, by its address below `timings`.

    Args:
        results: the folder that the workflow writes into; it may be absent. Its
            folder `timings` holds tables of tab-separated values with a column `s`, one
            row per time that the job was run.

    Returns:
        Address without its suffix -> timing.

    Raises:
        InputError: a file holds no time, or is no training log; the message names it.
    """
    folder = layout.below(results, layout.TIMINGS)
    found = {}
    for path in sorted(folder.rglob("*.tsv")):
        address = path.relative_to(folder).as_posix().removesuffix(".tsv")
        found[address] = _read_timing(path, _read_training(results, address))
    return found


def _read_timing(path: Path, training: float | None) -> Timing:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    try:
        seconds = [float(row["s"]) for row in rows]
        last = rows[-1]
        return Timing(
            sum(seconds) / len(seconds),
            training,
            questions=int(last.get("questions", 0)),
            scoring=float(last.get("scoring", 0)),
            loading=float(last.get("loading", 0)),
        )
    except (IndexError, KeyError, TypeError, ValueError):
        raise InputError(f"{path} holds no seconds (column `s`); delete it") from None


def _read_training(results: Path, address: str) -> float | None:
    """Seconds of a training's steps, the interrupted ones included."""
    stage, _, tail = address.partition("/")
    log = layout.below(results, layout.CANDIDATES) / tail / _LOG
    if stage != "tune" or not log.exists():
        return None
    lines = tables.where(tables.read(log, "training_log"), split="train").to_pylist()
    try:
        return sum(line["tokens"] / line["tokens_per_second"] for line in lines)
    except (TypeError, ZeroDivisionError):
        raise InputError(f"{log} holds a line without a speed; delete it") from None


def scored_files(timings: Mapping[str, Timing], run: str, task: str) -> list[str]:
    """Names of the finished scoring jobs of one run and task, such as `de+fr`."""
    place = f"score/{run}/{task}/"
    return [each.removeprefix(place) for each in timings if each.startswith(place)]
