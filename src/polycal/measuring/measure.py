"""Metrics, their replicates and reliability bins of one run and task.

A row of the metrics table is one metric of one run, task, language and reading
(`polycal.measuring.readings`) of its scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal import calibration
from polycal.calibration import METRICS
from polycal.errors import InputError
from polycal.measuring.clusters import errors_by_subject
from polycal.measuring.predictions import RUN, read_predictions
from polycal.measuring.readings import (
    UNCALIBRATED,
    LanguageReading,
    Reading,
    readings,
)
from polycal.measuring.resampling import (
    PRIMARY,
    REPLICATED,
    Resampler,
    check_confidence,
)
from polycal.measuring.side_metrics import side_metrics
from polycal.preparing.checks import read_check
from polycal.storage import tables
from polycal.study.languages import ALL
from polycal.study.scorings import HEADLINE, NORMALISERS, Normaliser
from polycal.verb import verb

CULTURES = ("CS", "CA")  # subsets that a benchmark may annotate
_READING = ("scoring", "normaliser", "calibrator")


@verb(makes="{metrics}", without_pandas=True)
def measure(
    *,
    predictions: list[Path],
    check: Path,
    metrics: Path,
    reliability: Path,
    replicates: Path,
    n_replicates: int,
    seed: int,
    confidence: float,
    normalisers: Sequence[Normaliser] = NORMALISERS,
    checkpoint: Path | None = None,
    resampled_as: str | None = None,
) -> None:
    """Compute the calibration metrics of one run and task.

    Args:
        predictions: predictions tables of the run and task.
        check: JSON file that check_task wrote of the task.
        metrics: metrics table to write.
        reliability: reliability table to write.
        replicates: replicates table to write.
        n_replicates: bootstrap replicates of each metric.
        seed: seed of the replicates, one for the whole study.
        confidence: confidence level of the intervals.
        normalisers: normalisers of option texts.
        checkpoint: directory of the run; predictions of another one are refused.
        resampled_as: task that asks the same questions in another way: its replicates
            hold each question as often, so that differences to it are paired.

    Raises:
        InputError: a file is broken; the predictions are of several runs or
            checkpoints, were asked in several ways, or are of another checkpoint than
            the given one; they are about other questions than the check; or an option
            has no log-likelihood.
    """
    if not 2 <= n_replicates <= 100_000:
        raise InputError(f"n_replicates is {n_replicates}; it must be from 2 to 100000")
    check_confidence(confidence)
    compared = read_check(check)
    scored, facts = read_predictions(predictions, compared, checkpoint)
    facts["task"] = compared["task"]
    facts["compared"] = {name: compared[name] for name in ("policy", "digest")}
    run = {name: scored[name][0].as_py() for name in RUN} if len(scored) else {}
    resampler = Resampler(
        resampled_as or compared["task"],
        scored["question_id"].unique().to_pylist(),
        replicates=n_replicates,
        seed=seed,
        confidence=confidence,
    )
    numbers, bins, replicated = [], [], []
    for reading in readings(scored, normalisers):
        shared = run | {name: getattr(reading, name) for name in _READING}
        rows = list(_numbers(reading, resampler))
        # An AUROC without a wrong answer has none; languages are compared all or not.
        undefined = {
            (row["subset"], row["metric"]) for row in rows if row["value"] is None
        }
        for row in rows:
            values = row.pop("replicates", None)
            numbers.append(shared | row)
            if (row["subset"], row["metric"]) in undefined:
                continue
            if values is not None and _keeps_replicates(reading, row):
                key = {name: row[name] for name in ("language", "subset", "metric")}
                replicated.append({**shared, **key, "values": values})
        for code, own in reading.languages.items():
            for index, row in enumerate(_bins(own)):
                bins.append({**shared, "language": code, "bin": index, **row})
    statistics = {"seed": seed, "confidence": confidence, "replicates": n_replicates}
    for rows, path, kind in (
        (numbers, metrics, "metrics"),
        (bins, reliability, "reliability"),
        (replicated, replicates, "replicates"),
    ):
        table = pa.Table.from_pylist(rows, tables.SCHEMAS[kind])
        tables.write(table, path, kind, **facts, statistics=statistics)


def _numbers(reading: Reading, resampler: Resampler) -> Iterator[dict[str, Any]]:
    """Yield a metrics row of each subset, language and metric, with its `replicates`.

    A subset has few questions and a calibrator changes no answer: both get the primary
    metrics only. The others have replicates under the headline normaliser, because they
    take a third of the time of all replicates.
    """
    for subset in (ALL, *CULTURES):
        primary_only = subset != ALL or reading.calibrator != UNCALIBRATED
        parts = {
            code: own.select(kept)
            for code, own in reading.languages.items()
            if (kept := _is_of(own.rows, subset)).any()
        }
        samples = [
            resampler.sample(
                own.rows["question_id"].to_pylist(),
                calibration.answer(own.scores, own.gold),
            )
            for own in parts.values()
        ]
        is_headline = reading.normaliser == HEADLINE[reading.scoring]
        replicated = REPLICATED if is_headline and not primary_only else PRIMARY
        uncertainties = resampler.uncertainty(samples, replicated)
        for (code, own), sample, uncertainty in zip(
            parts.items(), samples, uncertainties, strict=True
        ):
            values = {
                name: metric.compute(sample.answers)
                for name, metric in METRICS.items()
                if metric.role == "primary" or not primary_only
            } | side_metrics(own)
            shared = {"language": code, "subset": subset, "n_questions": len(own.gold)}
            clustered: Mapping[str, float] = {}
            if not primary_only:
                clustered = errors_by_subject(sample.answers, own.rows["subject"])
            for metric, value in values.items():
                is_defined = not np.isnan(value)
                columns = uncertainty.get(metric, {}) if is_defined else {}
                columns |= {"se_subjects": clustered.get(metric)}
                value = value if is_defined else None
                yield {**shared, "metric": metric, "value": value, **columns}


def _keeps_replicates(reading: Reading, row: Mapping[str, Any]) -> bool:
    """Return whether a row's replicates are written.

    Those of all questions are, and those that compare the cultures: what may carry a
    claim under the headline reading and has no bias on few questions.
    """
    headline = reading.normaliser == HEADLINE[reading.scoring]
    plain = headline and reading.calibrator == UNCALIBRATED
    metric = METRICS[row["metric"]]
    compared = metric.may_carry_claim and metric.is_fraction and not metric.biased
    return row["subset"] == ALL or (plain and compared)


def _is_of(rows: pa.Table, subset: str) -> np.ndarray:
    """Return which rows [N] belong to a subset."""
    if subset == ALL:
        return np.ones(len(rows), bool)
    is_culture = pc.fill_null(pc.equal(rows["culture"], subset), False)
    return is_culture.to_numpy(zero_copy_only=False)


def _bins(reading: LanguageReading) -> Iterator[dict[str, float]]:
    """Yield the bins of the reliability diagram, in order."""
    top = calibration.answer(reading.scores, reading.gold).top
    columns = calibration.reliability_bins(*top)._asdict()
    for index in range(calibration.N_BINS):
        yield {name: column[index] for name, column in columns.items()}
