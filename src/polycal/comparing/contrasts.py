"""Contrasts: what SFT changes, and what smoothing changes of it.

Paired differences between conditions on the same questions, per language and averaged
over languages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from polycal.calibration import METRICS
from polycal.comparing.claims import TO_OTHERS
from polycal.comparing.conditions import TO_MODEL, TO_STAGE, at_levels
from polycal.comparing.effects import Effect, Side, describe
from polycal.comparing.inference import Noise
from polycal.comparing.pairing import (
    Comparison,
    pair_askings,
    pair_conditions,
    pair_models,
    pair_stages,
)
from polycal.comparing.released import find_released
from polycal.comparing.replicates import MeasuredRun, MetricKey, Replicates, RunMetric
from polycal.comparing.runs import find_checkpoints
from polycal.comparing.verdicts import Primary, judge
from polycal.comparing.vocabularies import compare_models, compares_models
from polycal.errors import InputError
from polycal.measuring.resampling import check_confidence
from polycal.storage import tables
from polycal.study.grid import BASE
from polycal.study.languages import ALL
from polycal.study.scorings import COUNT_TOKENS, HEADLINE, Scoring
from polycal.verb import verb


@verb(makes="{out}/contrasts.parquet")
def contrast(
    *,
    metrics: Path,
    replicates: list[Path],
    runs: Path | None = None,
    margin: float,
    confidence: float,
    primary_task: str | None = None,
    primary_scoring: Scoring | None = None,
    same_questions: Sequence[str] = (),
    tuned_from: Sequence[str] = (),
    first_model: str | None = None,
    out: Path,
) -> None:
    """Write the study's contrasts and claims, as Parquet and CSV.

    Args:
        metrics: the study's metrics table.
        replicates: replicates tables, one for each run and task.
        runs: the study's runs table, to compare models by vocabulary, to name the
            learning rates, to know released checkpoints, and to refuse replicates of
            other checkpoints.
        margin: fractions that differ by less are equivalent.
        confidence: confidence level of intervals, bands and verdicts.
        primary_task: the task whose claims are not exploratory; default: the first by
            name.
        primary_scoring: the scoring whose claims are not exploratory; default: the
            first by name.
        same_questions: TASK=FIRST for each task that asks the questions of another
            task in another way, to compare the two.
        tuned_from: SFT=EARLIER for each SFT whose released checkpoints were tuned from
            those of another one, to compare the two; confidences as below.
        first_model: the model that the others are compared with, where no run is tuned;
            confidences that count tokens only where their tokenizers are the same.
        out: directory to write into.

    Raises:
        InputError: a table is broken, a run's replicates are there twice, the tables
            are not about the same runs and languages, or a setting has no meaning.
    """
    check_confidence(confidence)
    if not 0 < margin < 1:
        raise InputError(f"margin is {margin}; it must be above 0 and below 1")
    measured = tables.read(metrics, "metrics")
    listed = tables.read(runs, "runs") if runs else tables.SCHEMAS["runs"].empty_table()
    loader = Replicates(measured, replicates, find_checkpoints(listed, metrics))
    settings = {"margin": margin, "confidence": confidence}
    beside = [
        *pair_askings(loader.runs, same_questions),
        *pair_stages(loader.runs, tuned_from),
        *pair_models(loader.runs, first_model),
    ]
    facts, released = _Facts(listed.to_pylist()), find_released(listed)
    by_model: list[Effect] = []

    def pools() -> Iterator[Sequence[Effect]]:
        for effects in _load_effects(loader, pair_conditions(loader.runs)):
            by_model.extend(filter(compares_models, effects))
            yield effects
        yield from ([one] for one in compare_models(by_model, facts.vocabularies))

    names = [*tables.SCHEMAS["contrasts"].names, "low", "high", *Noise._fields]
    rows = describe(pools(), **settings).reindex(columns=names)
    primary = Primary(primary_task, primary_scoring)
    rows, claims = judge(
        rows,
        primary=primary,
        alpha=1 - confidence,
        letter_shares=_letter_shares(measured),
        released=released,
    )
    rows = rows[rows["reference"] != TO_OTHERS]
    compared = [
        released.is_comparable(*about)
        for about in zip(rows["model"], rows["sft"], rows["normaliser"], strict=True)
    ]
    rows = rows[np.array(compared, bool)]
    claims = facts.add_rates(claims)
    made = describe(
        (
            effects
            for effects in _load_effects(loader, beside)
            if facts.can_compare(effects[0].key)
        ),
        **settings,
    )
    rows = pd.concat([rows, made] if len(rows) else [made], ignore_index=True)
    for kind, frame in (("contrasts", rows), ("claims", claims)):
        schema = tables.SCHEMAS[kind]
        table = schema.empty_table()
        if len(frame):
            frame = frame.reindex(columns=schema.names)
            table = pa.Table.from_pandas(frame, schema, preserve_index=False)
        tables.write_study(table, out, kind, confidence=confidence)


def _letter_shares(metrics: pa.Table) -> dict[tuple, float]:
    """Return the mean share of the most frequent position, as `judge` takes it."""
    rows = tables.where(metrics, metric="letter_share", subset=ALL, calibrator="none")
    frame = rows.to_pandas()
    frame = frame[frame["normaliser"] == frame["scoring"].map(HEADLINE)]
    both = pd.concat([frame.assign(level=frame["language"]), at_levels(frame)])
    keys = ["model", "sft", "smoothing", "task", "scoring", "level"]
    return both.groupby(keys)["value"].mean().to_dict()


class _Facts:
    """What the runs table says of models and conditions.

    Attributes:
        vocabularies: model -> tokens, where they are known.
    """

    def __init__(self, runs: list[dict]) -> None:
        self.vocabularies = {
            run["model"]: run["vocabulary"]
            for run in runs
            if run["vocabulary"] and run["sft"] == BASE
        }
        self._tokenizers = {
            (run["model"], run["sft"]): run["tokenizer"] for run in runs
        }
        self._rates = {
            (run["model"], run["sft"], run["smoothing"]): run["lr"] for run in runs
        }

    def can_compare(self, effect: Mapping[str, Any]) -> bool:
        """Return whether a confidence means the same in both models of an effect."""
        kind, _, name = effect["reference"].partition(":")
        model, sft = effect["model"], effect["sft"]
        other = {TO_MODEL: (name, sft), TO_STAGE: (model, name)}.get(f"{kind}:")
        if not other or effect["normaliser"] not in COUNT_TOKENS:
            return True
        own = self._tokenizers.get((model, sft))
        return own is not None and own == self._tokenizers.get(other)

    def add_rates(self, claims: pd.DataFrame) -> pd.DataFrame:
        """Add the selected learning rates of the two conditions of each claim."""
        rates = [
            (
                self._rates.get((row["model"], row["sft"], row["smoothing"])),
                self._rates.get((row["model"], row["sft"], 0.0))
                if row["smoothing"]
                else None,
            )
            for row in claims.to_dict("records")
        ]
        lr, lr_reference = zip(*rates, strict=True) if rates else ((), ())
        return claims.assign(
            lr=pd.Series(lr, dtype=float).to_numpy(),
            lr_reference=pd.Series(lr_reference, dtype=float).to_numpy(),
        )


def _load_effects(
    loader: Replicates, families: Iterable[list[Comparison]]
) -> Iterator[list[Effect]]:
    """Yield pools of effects; the runs of one family at a time are in memory."""
    for comparisons in families:
        runs = {run for each in comparisons for pair in each.pairs for run in pair}
        loaded = {
            run: {k: own for k, own in loader.load(run).items() if k.subset == ALL}
            for run in runs
        }
        yield from _pooled_effects(comparisons, loaded)


def _pooled_effects(
    comparisons: list[Comparison],
    loaded: Mapping[MeasuredRun, Mapping[MetricKey, RunMetric]],
) -> Iterator[list[Effect]]:
    """Yield the effects whose noise of training is pooled: those of one metric.

    Raises:
        InputError: two runs were measured on different languages.
    """
    for reference in dict.fromkeys(each.reference for each in comparisons):
        own = [each for each in comparisons if each.reference == reference]
        keys = dict.fromkeys(key for each in own for key in loaded[each.pairs[0][1]])
        for key in keys:
            made = [_effect(comparison, key, loaded) for comparison in own]
            effects = [effect for effect in made if effect is not None]
            if effects:
                yield effects


def _effect(
    comparison: Comparison,
    key: MetricKey,
    loaded: Mapping[MeasuredRun, Mapping[MetricKey, RunMetric]],
) -> Effect | None:
    """Return one condition's effect on a metric; None where a run has no such metric.

    Raises:
        InputError: the two were measured on different languages.
    """
    before = comparison.key_before(key)
    if before is None:
        return None
    sides = [
        (own, [loaded[run] for run in runs])
        for own, runs in zip(
            (before, key), zip(*comparison.pairs, strict=True), strict=True
        )
    ]
    if not all(own in metrics for own, side in sides for metrics in side):
        return None
    one = comparison.pairs[0][1]
    languages = loaded[one][key].languages
    if any(
        metrics[own].languages != languages for own, side in sides for metrics in side
    ):
        raise InputError(
            f"the runs of {one.model}/{one.sft} on {one.task} are of different "
            "languages; measure them again"
        )
    condition = {"model": one.model, "sft": one.sft, "smoothing": one.smoothing}
    reading = key._asdict()
    del reading["subset"]
    return Effect(
        condition | {"reference": comparison.reference, "task": one.task} | reading,
        languages,
        _side(*sides[0]),
        _side(*sides[1]),
        loaded[one][key].n_questions,
    )


def _side(key: MetricKey, runs: Sequence[Mapping[MetricKey, RunMetric]]) -> Side:
    """Return one metric of the runs of a condition."""
    metrics = [metrics[key] for metrics in runs]
    drawn: Any = sum(metric.replicates.T.astype(np.float64) for metric in metrics)
    if METRICS[key.metric].biased:
        gap = key._replace(metric="gap")
        bias = np.mean([one[key].bound_bias(one[gap]) for one in runs], axis=0)
    else:
        bias = np.zeros(len(metrics[0].languages))
    seeds = np.stack([metric.values for metric in metrics])
    return Side(seeds, drawn / len(metrics), bias)
