"""Metrics and reliability bins of one run and task, all languages together.

A row of the metrics table is one number about one run, task, language and way of
reading its scores (`polycal.readings`). What is a number about the probabilities comes
from `polycal.calibration`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from polycal import calibration, tables
from polycal.checks import keep_compared, read_check
from polycal.errors import InputError
from polycal.readings import UNCALIBRATED, Reading, readings, side_metrics

_SHARED = ("checkpoint", "shots")  # by all predictions of a run and task
_WAY = ("scoring", "normaliser", "calibrator")
ALL = "all"  # the subset that holds every question
CULTURES = ("CS", "CA")  # subsets that a benchmark may annotate
_RUN = ("model", "sft", "smoothing", "seed", "task")


def measure(
    *, predictions: list[Path], check: Path, metrics: Path, reliability: Path
) -> None:
    """Compute the metrics and the reliability bins of a run's answers to a benchmark.

    Args:
        predictions: the run's predictions tables of the benchmark.
        check: what `polycal check_task` wrote about the task; only the languages that
            it knows and the questions that it keeps are measured.
        metrics: the metrics table that is written.
        reliability: the reliability table that is written.

    Raises:
        InputError: a file is not what it should be; the predictions are of several
            runs, checkpoints or ways of scoring; or they are about other questions
            than the check.
    """
    compared = read_check(check)
    scored, facts = _read(predictions, compared)
    facts["compared"] = {name: compared[name] for name in ("policy", "digest")}
    run = {name: scored[name][0].as_py() for name in _RUN} if len(scored) else {}
    numbers, bins = [], []
    for way in readings(scored):
        how = {name: getattr(way, name) for name in _WAY}
        for language, reading in way.languages.items():
            place = {**run, "language": language, **how}
            for subset, rows in _subsets(reading.rows):
                # Few questions, or the same answers once more: what carries claims.
                brief = subset != ALL or way.calibrator != UNCALIBRATED
                found = compute_metrics(
                    reading, rows, role="primary" if brief else None
                )
                more = {"subset": subset, "n_questions": int(rows.sum())}
                numbers += [
                    {**place, **more, "metric": name, "value": value}
                    for name, value in found.items()
                ]
            for index, row in enumerate(_bins(reading)):
                bins.append({**place, "bin": index, **row})
    for rows, path, kind in (
        (numbers, metrics, "metrics"),
        (bins, reliability, "reliability"),
    ):
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write(table, path, kind, **facts)


def _read(paths: Sequence[Path], compared: Mapping) -> tuple[pa.Table, dict]:
    """The rows that a check keeps, and what is to be noted of their origin.

    Raises:
        InputError: as `measure`.
    """
    pieces, sources, seen = [], [], set()
    for path in paths:
        scored, source = tables.read(path, "predictions"), tables.read_metadata(path)
        languages = set(scored["language"].unique().to_pylist())
        if languages & seen:
            raise InputError(
                f"{path}: {'+'.join(sorted(languages & seen))} is in another file, too"
            )
        seen |= languages
        sources.append(source)
        pieces.append(keep_compared(compared, scored, source.get("questions", {})))
    facts = {
        "dtype": sorted({each for own in sources for each in own.get("dtype", ())})
    }
    for name in _SHARED:
        facts[name] = sources[0].get(name)
        for path, source in zip(paths, sources, strict=True):
            if source.get(name) != facts[name]:
                raise InputError(
                    f"{path} and {paths[0]} differ in {name}; score one of them again"
                )
    scored = pa.concat_tables(pieces)
    if len(scored.select(list(_RUN)).group_by(_RUN).aggregate([])) > 1:
        raise InputError("the predictions are of several runs; measure each by itself")
    return scored, facts


def _subsets(rows: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Names of the subsets that have a question, and which rows [N] they hold."""
    yield ALL, np.ones(len(rows), bool)
    cultures = np.array(rows["culture"].to_pylist(), object)
    for name in CULTURES:
        if (cultures == name).any():
            yield name, cultures == name


def _bins(reading: Reading) -> Iterator[dict[str, float]]:
    """The bins of the reliability diagram, in order."""
    top = calibration.answer(reading.scores, reading.gold).top
    columns = calibration.reliability_bins(*top)._asdict()
    for index in range(calibration.N_BINS):
        yield {name: column[index] for name, column in columns.items()}


def compute_metrics(
    reading: Reading, kept: np.ndarray, *, role: str | None = None
) -> dict[str, float | None]:
    """Every metric of one set of questions, by name.

    Args:
        reading: the answers of one language.
        kept: [N] booleans, the questions that count.
        role: only metrics of the catalogue with this role; all of them if not given.

    Returns:
        The catalogue's metrics and those beside the probabilities (docs/metrics.md);
        None where one is not defined.
    """
    given = calibration.answer(reading.scores[kept], reading.gold[kept])
    found = {
        name: metric.compute(given)
        for name, metric in calibration.METRICS.items()
        if role in (None, metric.role)
    }
    found |= side_metrics(reading, kept)
    return {name: None if np.isnan(x) else x for name, x in found.items()}
