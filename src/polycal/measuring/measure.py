"""Metrics, their replicates and reliability bins of one run and task.

A row of the metrics table is one metric of one run, task, language and reading
(`polycal.measuring.readings`) of its scores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polycal import calibration
from polycal.calibration import METRICS
from polycal.errors import InputError
from polycal.measuring.clusters import errors_by_subject
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
from polycal.preparing.checks import keep_compared, read_check
from polycal.storage import tables
from polycal.storage.provenance import read_digest
from polycal.study.languages import ALL
from polycal.study.scorings import HEADLINE, NORMALISERS, SCORINGS, Normaliser
from polycal.verb import verb

_ASKED = ("shots", "prompt", "shots_as", "max_questions", "question_seed")
# Options that share a token with their context: they were scored by the tokens of their
# own text, or lost that token (lm_eval).
BORDERS = ("own_tokens", "cut_options")
_SHARED = ("checkpoint", *_ASKED)  # by all predictions of a run and task
CULTURES = ("CS", "CA")  # subsets that a benchmark may annotate
_RUN = ("model", "sft", "smoothing", "seed", "task")
_READING = ("scoring", "normaliser", "calibrator")
# What a benchmark may lack, and what is not known of imported scores.
_MAY_BE_NULL = {"subject", "category", "culture", "log_mass", "truncated"}
_ROUNDING = 1e-3  # nats that a log-likelihood of float32 may lie above 0


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
    scored, facts = _read(predictions, compared)
    if checkpoint and facts["checkpoint"] != read_digest(checkpoint):
        raise InputError(
            f"{predictions[0]} holds scores of another checkpoint than {checkpoint}; "
            "delete it and run again"
        )
    facts["task"] = compared["task"]
    facts["compared"] = {name: compared[name] for name in ("policy", "digest")}
    run = {name: scored[name][0].as_py() for name in _RUN} if len(scored) else {}
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


def _numbers(reading: Reading, resampler: Resampler) -> Iterator[dict[str, object]]:
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
            clustered = {}
            if not primary_only:
                clustered = errors_by_subject(sample.answers, own.rows["subject"])
            for metric, value in values.items():
                is_defined = not np.isnan(value)
                columns = uncertainty.get(metric, {}) if is_defined else {}
                columns |= {"se_subjects": clustered.get(metric)}
                value = value if is_defined else None
                yield {**shared, "metric": metric, "value": value, **columns}


def _keeps_replicates(reading: Reading, row: Mapping[str, object]) -> bool:
    """Return whether a row's replicates are written.

    Those of all questions are, and those that compare the cultures: what may carry a
    claim under the headline reading and has no bias on few questions.
    """
    headline = reading.normaliser == HEADLINE[reading.scoring]
    plain = headline and reading.calibrator == UNCALIBRATED
    metric = METRICS[row["metric"]]
    compared = metric.may_carry_claim and metric.is_fraction and not metric.debiased
    return row["subset"] == ALL or (plain and compared)


def _read(paths: Sequence[Path], compared: Mapping) -> tuple[pa.Table, dict]:
    """Return the rows that a check keeps, and facts about their origin.

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
        origin = source.get("questions")
        origin = origin if isinstance(origin, dict) else {}
        kept = keep_compared(compared, scored, origin)
        _check_scores(kept, path)
        pieces.append(kept)
    facts: dict[str, object] = {
        name: sorted({value for source in sources for value in source.get(name, ())})
        for name in ("dtype", "opens_answer")
    }
    for name in BORDERS:
        counts = [source.get(name) for source in sources]
        facts[name] = sum(sum(own.values()) for own in counts if own)
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


def _check_scores(rows: pa.Table, path: Path) -> None:
    """Check that every option has a log-likelihood and counts, and gold is an option.

    Raises:
        InputError: the first row that is not so, by file, language and question.
    """
    n_options = _count(rows, "logprobs")
    lists = {name: _count(rows, name) for name in ("n_tokens", "n_bytes")}
    gold = rows["gold"].fill_null(-1).to_numpy()
    mass = rows["log_mass"].fill_null(0).to_numpy()
    unknown = pc.is_in(rows["scoring"], pa.array(SCORINGS)).to_numpy()
    problems = (
        *(
            (rows[name].is_null().to_numpy(), f"it has no {name}")
            for name in rows.column_names
            if name not in _MAY_BE_NULL
        ),
        (~unknown, f"its scoring is none of {', '.join(SCORINGS)}"),
        (
            _owns(rows, "logprobs", lambda v: ~np.isfinite(v) | (v > _ROUNDING)),
            "its scores {logprobs} are not finite log-likelihoods up to 0",
        ),
        (
            ~np.isfinite(mass) | (mass > _ROUNDING),
            "its log_mass {log_mass} is no finite log-probability up to 0",
        ),
        (
            (gold < 0) | (gold >= n_options),
            "the right option is number {gold} of {n_options}, from 0",
        ),
        *(
            (
                (lengths != n_options) | _owns(rows, name, lambda v: ~(v >= 1)),
                f"its {name} {{{name}}} are no counts of {{n_options}} options",
            )
            for name, lengths in lists.items()
        ),
    )
    any_bad = np.any([is_bad for is_bad, _ in problems], axis=0)
    if not any_bad.any():
        return
    first = int(np.argmax(any_bad))
    what = next(text for is_bad, text in problems if is_bad[first])
    (row,) = rows.slice(first, 1).to_pylist()
    raise InputError(
        f"{path}: {row['language']}, question {row['question_id']} ({row['scoring']}): "
        f"{what.format(**row, n_options=n_options[first])}; delete the file and score "
        "again"
    )


def _count(rows: pa.Table, name: str) -> np.ndarray:
    """Return the length [N] of a column's lists; 0 where there is none."""
    return pc.list_value_length(rows[name]).fill_null(0).to_numpy()


def _owns(
    rows: pa.Table, name: str, is_bad: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return which rows [N] have a bad value in a column of lists; null is NaN."""
    owner = np.repeat(np.arange(len(rows)), _count(rows, name))
    bad = is_bad(pc.list_flatten(rows[name]).to_numpy().astype(float))
    return np.isin(np.arange(len(rows)), owner[bad])


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
