"""Metrics, their replicates and reliability bins of one run and task.

A row of the metrics table is one number about one run, task, language and way of
reading its scores (`polycal.measuring.readings`). What is a number about the
probabilities comes from `polycal.calibration`, and how sure it is from
`polycal.measuring.resampling`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal import calibration
from polycal.calibration import Answers
from polycal.errors import InputError
from polycal.measuring.readings import (
    UNCALIBRATED,
    Reading,
    Way,
    readings,
    side_metrics,
)
from polycal.measuring.resampling import Resampler
from polycal.preparing.checks import keep_compared, read_check
from polycal.storage import tables
from polycal.study.languages import ALL
from polycal.study.scorings import HEADLINE, NORMALISERS, Normaliser
from polycal.verb import verb

_SHARED = ("checkpoint", "shots")  # by all predictions of a run and task
_WAY = ("scoring", "normaliser", "calibrator")
CULTURES = ("CS", "CA")  # subsets that a benchmark may annotate
_CULTURED = ("accuracy", "confidence", "gap")  # what is compared between them
_RUN = ("model", "sft", "smoothing", "seed", "task")


@verb(makes="{metrics}", without_pandas=True)
def measure(
    *,
    predictions: list[Path],
    check: Path,
    metrics: Path,
    reliability: Path,
    replicates: Path,
    n_replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    normalisers: Sequence[Normaliser] = NORMALISERS,
) -> None:
    """Measure a run's answers to a benchmark, all languages together.

    Args:
        predictions: the run's predictions tables of the benchmark.
        check: what `polycal check_task` wrote about the task; only the languages that
            it knows and the questions that it keeps are measured.
        metrics: the metrics table that is written.
        reliability: the reliability table that is written.
        replicates: the replicates table that is written.
        n_replicates: how many replicates of each metric.
        seed: of the replicates, the same for a whole study.
        confidence: of the intervals.
        normalisers: of option texts, some of `polycal.study.scorings.NORMALISERS`.

    Raises:
        InputError: a file is not what it should be; the predictions are of several
            runs, checkpoints or ways of scoring; or they are about other questions
            than the check.
    """
    if not 2 <= n_replicates <= 100_000:
        raise InputError(
            f"{n_replicates} replicates are asked for; take from 2 to 100000"
        )
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; it must be above 0 and below 1")
    compared = read_check(check)
    scored, facts = _read(predictions, compared)
    facts["compared"] = {name: compared[name] for name in ("policy", "digest")}
    run = {name: scored[name][0].as_py() for name in _RUN} if len(scored) else {}
    resampler = Resampler(
        compared["task"],
        scored["question_id"].unique().to_pylist(),
        replicates=n_replicates,
        seed=seed,
        confidence=confidence,
    )
    numbers, bins, drawn = [], [], []
    for way in readings(scored, normalisers):
        place = {**run, **{name: getattr(way, name) for name in _WAY}}
        for row in _numbers(way, resampler):
            draws = row.pop("replicates", None)
            numbers.append({**place, **row})
            if draws is not None and _is_kept(way, row):
                name = {key: row[key] for key in ("language", "subset", "metric")}
                drawn.append({**place, **name, "values": draws})
        for language, reading in way.languages.items():
            for index, row in enumerate(_bins(reading)):
                bins.append({**place, "language": language, "bin": index, **row})
    statistics = {"seed": seed, "confidence": confidence, "replicates": n_replicates}
    for rows, path, kind in (
        (numbers, metrics, "metrics"),
        (bins, reliability, "reliability"),
        (drawn, replicates, "replicates"),
    ):
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write(table, path, kind, **facts, statistics=statistics)


def _numbers(way: Way, resampler: Resampler) -> Iterator[dict[str, object]]:
    """A metrics row of each subset, language and metric, with its `replicates`."""
    for subset in (ALL, *CULTURES):
        # Few questions, or the same answers once more: what carries claims.
        brief = subset != ALL or way.calibrator != UNCALIBRATED
        kept = {
            code: rows
            for code, reading in way.languages.items()
            if (rows := _is_of(reading.rows, subset)).any()
        }
        samples = []
        for code, rows in kept.items():
            reading = way.languages[code]
            names = reading.rows["question_id"].filter(pa.array(rows)).to_pylist()
            given = calibration.answer(reading.scores[rows], reading.gold[rows])
            samples.append(resampler.sample(names, given))
        about = resampler.uncertainty(samples)
        for (code, rows), sample, sure in zip(
            kept.items(), samples, about, strict=True
        ):
            found = compute_metrics(sample.answers, role="primary" if brief else None)
            found |= side_metrics(way.languages[code], rows)
            place = {"language": code, "subset": subset, "n_questions": int(rows.sum())}
            for metric, value in found.items():
                value = None if np.isnan(value) else value
                more = sure.get(metric, {})
                yield {**place, "metric": metric, "value": value, **more}


def _is_kept(way: Way, row: Mapping[str, object]) -> bool:
    """Whether a number's replicates are: of all questions, or to compare cultures."""
    plain = way.calibrator == UNCALIBRATED and way.normaliser == HEADLINE[way.scoring]
    return row["subset"] == ALL or (plain and row["metric"] in _CULTURED)


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


def _is_of(rows: pa.Table, subset: str) -> np.ndarray:
    """Which rows [N] a subset holds."""
    if subset == ALL:
        return np.ones(len(rows), bool)
    found = pc.fill_null(pc.equal(rows["culture"], subset), False)
    return found.to_numpy(zero_copy_only=False)


def _bins(reading: Reading) -> Iterator[dict[str, float]]:
    """The bins of the reliability diagram, in order."""
    top = calibration.answer(reading.scores, reading.gold).top
    columns = calibration.reliability_bins(*top)._asdict()
    for index in range(calibration.N_BINS):
        yield {name: column[index] for name, column in columns.items()}


def compute_metrics(given: Answers, *, role: str | None = None) -> dict[str, float]:
    """Metrics of the catalogue, by name.

    Args:
        given: the answers of one language.
        role: only metrics with this role; all of them if not given.

    Returns:
        Numbers, NaN where a metric is not defined.
    """
    return {
        name: metric.compute(given)
        for name, metric in calibration.METRICS.items()
        if role in (None, metric.role)
    }
