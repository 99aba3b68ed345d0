"""Contrasts: what SFT changes, and what smoothing changes of it.

Paired differences between conditions on the same questions, per language and averaged
over languages.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from polycal.calibration import METRICS
from polycal.comparing.claims import TO_BASE, TO_OTHERS, TO_SFT, judge
from polycal.comparing.effects import Effect, describe
from polycal.comparing.replicates import MeasuredRun, MetricKey, Replicates, RunMetric
from polycal.comparing.vocabularies import compare_models, compares_models
from polycal.errors import InputError
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL
from polycal.verb import verb


class Comparison(NamedTuple):
    """A condition and its reference.

    Attributes:
        reference: `TO_BASE` or `TO_SFT`.
        pairs: (before, after) for each seed.
    """

    reference: str
    pairs: list[tuple[MeasuredRun, MeasuredRun]]


@verb(makes="{out}/contrasts.parquet")
def contrast(
    *,
    metrics: Path,
    replicates: list[Path],
    runs: Path | None = None,
    margin: float,
    confidence: float,
    out: Path,
) -> None:
    """Write the study's contrasts and claims, as Parquet and CSV.

    Args:
        metrics: the study's metrics table.
        replicates: replicates tables, one for each run and task.
        runs: the study's runs table, to compare models by vocabulary.
        margin: fractions that differ by less are equivalent.
        confidence: confidence level of intervals, bands and verdicts.
        out: directory to write into.

    Raises:
        InputError: a table is broken, a run's replicates are there twice, or the
            tables are not about the same runs and languages.
    """
    loader = Replicates(tables.read(metrics, "metrics"), replicates)
    settings = {"margin": margin, "confidence": confidence}
    frames, by_model = [], []
    for comparisons in _families(loader.runs):
        pairs = [pair for comparison in comparisons for pair in comparison.pairs]
        loaded = {run: _all_questions(loader, run) for pair in pairs for run in pair}
        for comparison in comparisons:
            for effect in _effects(comparison, loaded):
                frames.append(describe(effect, **settings))
                by_model += [effect] if compares_models(effect) else []
    sizes = _vocabularies(runs) if runs else {}
    between = compare_models(by_model, sizes)
    frames += [describe(effect, **settings) for effect in between]
    names = tables.SCHEMAS["contrasts"].names
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    rows, claims = judge(rows.reindex(columns=names), alpha=1 - confidence)
    rows = rows[rows["reference"] != TO_OTHERS]
    for kind, frame in (("contrasts", rows), ("claims", claims)):
        schema = tables.SCHEMAS[kind]
        frame = frame.reindex(columns=schema.names)
        table = pa.Table.from_pandas(frame, schema, preserve_index=False)
        tables.write_study(table, out, kind, confidence=confidence)


def _vocabularies(runs: Path) -> dict[str, int]:
    """Return the vocabulary of each model where it is known."""
    rows = tables.read(runs, "runs").select(["model", "vocabulary"]).to_pylist()
    return {row["model"]: row["vocabulary"] for row in rows if row["vocabulary"]}


def _families(runs: list[MeasuredRun]) -> Iterator[list[Comparison]]:
    """Yield the comparisons within each task, model and SFT set.

    Args:
        runs: of the study, sorted.
    """
    sets = {(run.task, run.model, run.sft) for run in runs if run.sft != BASE}
    for task, model, sft in sorted(sets):
        own = [run for run in runs if (run.task, run.model) == (task, model)]
        base = [run for run in own if run.sft == BASE]
        tuned: dict[float, dict[int, MeasuredRun]] = {}
        for run in own:
            if run.sft == sft:
                tuned.setdefault(run.smoothing, {})[run.seed] = run
        comparisons = []
        for smoothing, seeds in tuned.items():
            plain = tuned.get(0, {}) if smoothing else {}
            pairs = [(before, run) for run in seeds.values() for before in base]
            comparisons.append(Comparison(TO_BASE, pairs))
            pairs = [(plain[s], run) for s, run in seeds.items() if s in plain]
            comparisons.append(Comparison(TO_SFT, pairs))
        yield [comparison for comparison in comparisons if comparison.pairs]


def _all_questions(loader: Replicates, run: MeasuredRun) -> dict[MetricKey, RunMetric]:
    return {
        key: metric for key, metric in loader.load(run).items() if key.subset == ALL
    }


def _effects(
    comparison: Comparison,
    loaded: Mapping[MeasuredRun, Mapping[MetricKey, RunMetric]],
) -> Iterator[Effect]:
    """Yield the effects of one condition against its reference, one per metric.

    Raises:
        InputError: the two were measured on other languages.
    """
    pairs = [(loaded[before], loaded[after]) for before, after in comparison.pairs]
    one = comparison.pairs[0][1]
    shared = {"model": one.model, "sft": one.sft, "smoothing": one.smoothing}
    shared |= {"reference": comparison.reference, "task": one.task}
    for key, first in pairs[0][1].items():
        sides = [side for pair in pairs for side in pair]
        if any(side.get(key, first).languages != first.languages for side in sides):
            raise InputError(
                f"the runs of {one.model}/{one.sft} on {one.task} are of different "
                "languages; measure them again"
            )
        if not all(key in side for side in sides):
            continue
        changes = [(before[key], after[key]) for before, after in pairs]
        reading = key._asdict()
        del reading["subset"]
        yield Effect(
            shared | reading,
            first.languages,
            np.stack([after.values - before.values for before, after in changes]),
            sum(_change(*pair) for pair in changes) / len(pairs),
            np.array([_bias(key, side) for side in zip(*changes, strict=True)]),
        )


def _change(before: RunMetric, after: RunMetric) -> np.ndarray:
    """Return the replicates [R, L] of a difference."""
    return _doubles(after) - _doubles(before)


def _doubles(metric: RunMetric) -> np.ndarray:
    return metric.replicates.T.astype(np.float64)


def _bias(key: MetricKey, seeds: tuple[RunMetric, ...]) -> np.ndarray:
    """Return the largest bias [L] of a metric: what a calibrated model would show."""
    if METRICS[key.metric].debiased is None:
        return np.zeros(len(seeds[0].languages))
    return np.mean([metric.null_means for metric in seeds], axis=0)
