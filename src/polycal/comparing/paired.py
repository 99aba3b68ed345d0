"""The numbers of a study with their paired replicates: condition, metric, language.

Seeds are averaged. Replicate r of every number was drawn with the same weights of the
questions, so that differences and means of replicates are replicates themselves.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal.comparing.conditions import language_of
from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL, LEVELS

CONDITION = ("model", "sft", "smoothing", "task", "scoring", "normaliser")
CONDITION += ("calibrator",)


class Run(NamedTuple):
    """A run on a task, as its tables name it."""

    model: str
    sft: str
    smoothing: float
    seed: int
    task: str


class Condition(NamedTuple):
    """A run without its seed, asked and read in one way."""

    model: str
    sft: str
    smoothing: float
    task: str
    scoring: str
    normaliser: str
    calibrator: str

    @property
    def sweep(self) -> tuple[str, ...]:
        """What all smoothing values of one SFT set have in common."""
        return self[:2] + self[3:]


class Numbers(NamedTuple):
    """One metric of one condition by language, seeds averaged.

    Attributes:
        value: code -> the metric.
        draws: code -> [R] its replicates.
    """

    value: dict[str, float]
    draws: dict[str, np.ndarray]

    def sizes(self) -> "Numbers":
        """The same without signs."""
        return Numbers(
            {code: abs(value) for code, value in self.value.items()},
            {code: abs(draws) for code, draws in self.draws.items()},
        )

    def mean(self, codes: Iterable[str]) -> tuple[float, np.ndarray]:
        """The mean over languages, and its replicates [R]."""
        codes = list(codes)
        return (
            float(np.mean([self.value[code] for code in codes])),
            np.mean([self.draws[code] for code in codes], axis=0),
        )


Study = dict[Condition, dict[str, Numbers]]


def index_runs(paths: Iterable[Path]) -> dict[Run, Path]:
    """Which run each replicates table is of.

    Raises:
        InputError: two files are of the same run.
    """
    found: dict[Run, Path] = {}
    for path in paths:
        for first in tables.stream(path, "replicates", rows=1):
            row = first.to_pylist()[0]
            run = Run(*(row[name] for name in Run._fields))
            if run in found:
                raise InputError(f"{path} and {found[run]} are of the same run")
            found[run] = path
            break
    return found


def gather(
    metrics: pa.Table, replicates: Iterable[pa.Table], subsets: Sequence[str] = (ALL,)
) -> list[Study]:
    """Values and replicates by condition and metric, as far as there are replicates.

    Args:
        metrics: the study's metrics table; it may hold more than the replicates.
        replicates: replicates tables, one run each; one at a time is in memory.
        subsets: of the questions.

    Returns:
        A study for each subset.
    """
    keys = [*CONDITION, "language", "metric"]
    drawn: list[dict[tuple, np.ndarray]] = [{} for _ in subsets]
    seeds: list[Counter[tuple]] = [Counter() for _ in subsets]
    for table in replicates:
        for subset, sums, counts in zip(subsets, drawn, seeds, strict=True):
            for place, draws in _rows(table, subset, keys, "values"):
                sums[place] = sums[place] + draws if place in sums else draws.copy()
                counts[place] += 1
    studies = []
    for subset, sums, counts in zip(subsets, drawn, seeds, strict=True):
        valued: dict[tuple, list[float]] = {}
        for place, value in _rows(metrics, subset, keys, "value"):
            if place in sums:
                valued.setdefault(place, []).append(value)
        study: Study = {}
        for place, values in valued.items():
            *condition, code, metric = place
            held = study.setdefault(Condition(*condition), {})
            numbers = held.setdefault(metric, Numbers({}, {}))
            numbers.value[code] = float(np.mean(values))
            numbers.draws[code] = sums.pop(place) / counts[place]
        studies.append(study)
    return studies


def _rows(
    table: pa.Table, subset: str, keys: list[str], column: str
) -> Iterator[tuple]:
    """Key and value of each row that is about a subset of the questions."""
    table = table.filter(pc.equal(table["subset"], subset))
    if not len(table):
        return iter(())
    places = zip(*(table[name].to_pylist() for name in keys), strict=True)
    if pa.types.is_list(table.schema.field(column).type):
        flat = table[column].combine_chunks()
        values = flat.flatten().to_numpy().reshape(len(table), -1)
    else:
        values = table[column].to_numpy()
    return zip(places, values, strict=True)


def contrasted(study: Study) -> Iterator[tuple[str, Condition, Condition]]:
    """Each tuned condition with what it is compared with: base, and plain SFT."""
    for after in study:
        if after.sft == BASE:
            continue
        base = after._replace(sft=BASE, smoothing=0.0)
        plain = after._replace(smoothing=0.0)
        if base in study:
            yield "base", base, after
        if after.smoothing and plain in study:
            yield "sft", plain, after


def levels_of(codes: Iterable[str]) -> dict[str, list[str]]:
    """Level -> its languages, for `all` and each level that has one."""
    codes = sorted(codes)
    groups = {ALL: codes}
    for level in LEVELS:
        held = [code for code in codes if language_of(code).level == level]
        if held:
            groups[level] = held
    return groups


def shared(numbers: Iterable[Numbers]) -> list[str]:
    """The languages that all of them have."""
    held = [set(each.value) for each in numbers]
    return sorted(set.intersection(*held)) if held else []
