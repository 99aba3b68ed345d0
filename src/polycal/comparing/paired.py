"""The conditions of a study by metric and language, averaged over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from polycal.calibration import METRICS
from polycal.comparing.claims import TO_BASE, TO_SFT
from polycal.comparing.conditions import language_of
from polycal.comparing.inference import Noise, half_width
from polycal.comparing.replicates import MeasuredRun, Replicates
from polycal.comparing.seed_noise import SeedVariance
from polycal.study.grid import BASE
from polycal.study.languages import ALL, LEVELS

Row = dict[str, Any]  # of a table


class Condition(NamedTuple):
    """A run on a task without its seed, under one reading."""

    model: str
    sft: str
    smoothing: float
    task: str
    scoring: str
    normaliser: str
    calibrator: str

    @property
    def sweep(self) -> tuple[str, ...]:
        """Return the fields that all smoothing values of one SFT set share."""
        return self[:2] + self[3:]


class Numbers(NamedTuple):
    """One metric of one condition by language, averaged over seeds.

    Attributes:
        value: code -> the metric.
        draws: code -> [R] its replicates.
        bias: code -> how far the metric may lie above the truth on average; 0 where
            it is missing.
        seeds: code -> [S] the metric by seed.
    """

    value: dict[str, float]
    draws: dict[str, np.ndarray]
    bias: dict[str, float]
    seeds: dict[str, np.ndarray]

    def sizes(self) -> "Numbers":
        """Return the absolute values."""
        return Numbers(
            {code: abs(value) for code, value in self.value.items()},
            {code: abs(draws) for code, draws in self.draws.items()},
            self.bias,
            {code: abs(seeds) for code, seeds in self.seeds.items()},
        )

    def mean_bias(self, codes: Iterable[str]) -> float:
        """Return the mean over languages of the bias."""
        return float(np.mean([self.bias.get(code, 0.0) for code in codes]))

    def by_seed(self, codes: Iterable[str]) -> np.ndarray:
        """Return the values of languages by seed [S, L]; one row if none is known."""
        return np.array([self.seeds.get(code, [self.value[code]]) for code in codes]).T

    def mean_seeds(self, codes: Iterable[str]) -> np.ndarray:
        """Return the mean over languages by seed [S]."""
        return self.by_seed(codes).mean(axis=1)

    def mean(self, codes: Iterable[str]) -> tuple[float, np.ndarray]:
        """Return the mean over languages, and its replicates [R]."""
        codes = list(codes)
        return (
            float(np.mean([self.value[code] for code in codes])),
            np.mean([self.draws[code] for code in codes], axis=0),
        )


Study = dict[Condition, dict[str, Numbers]]  # by metric


def average_seeds(
    replicates: Replicates, runs: Iterable[MeasuredRun]
) -> dict[str, Study]:
    """Load runs and average every metric over their seeds.

    Args:
        replicates: of the study.
        runs: some of its runs; one at a time is in memory.

    Returns:
        Subset of the questions -> its conditions.

    Raises:
        InputError: as `Replicates.load`.
    """
    values: dict[tuple, list[float]] = {}
    sums: dict[tuple, np.ndarray] = {}
    biases: dict[tuple, list[float]] = {}
    for run in runs:
        loaded = replicates.load(run)
        for key, metric in loaded.items():
            reading = key.scoring, key.normaliser, key.calibrator
            condition = Condition(run.model, run.sft, run.smoothing, run.task, *reading)
            for code, value, draws in zip(
                metric.languages, metric.values, metric.replicates, strict=True
            ):
                cell = key.subset, condition, key.metric, code
                values.setdefault(cell, []).append(value)
                sums[cell] = sums[cell] + draws if cell in sums else draws.copy()
            gap = loaded.get(key._replace(metric="gap"))
            if METRICS[key.metric].biased and gap is not None:
                bounds = metric.bound_bias(gap)
                for code, bias in zip(metric.languages, bounds, strict=True):
                    cell = key.subset, condition, key.metric, code
                    biases.setdefault(cell, []).append(bias)
    studies: dict[str, Study] = defaultdict(dict)
    for cell, seeds in values.items():
        subset, condition, metric, code = cell
        by_metric = studies[subset].setdefault(condition, {})
        numbers = by_metric.setdefault(metric, Numbers({}, {}, {}, {}))
        numbers.value[code] = float(np.mean(seeds))
        numbers.draws[code] = sums.pop(cell) / len(seeds)
        numbers.seeds[code] = np.array(seeds)
        if cell in biases:
            numbers.bias[code] = float(np.mean(biases[cell]))
    return studies


def sweeps(study: Study) -> list[list[Condition]]:
    """Return the conditions of each SFT set and reading, by rising smoothing.

    Their noise of training is pooled. The base model is a sweep of its own.
    """
    groups: dict[tuple, list[Condition]] = {}
    for condition in sorted(study):
        key = condition.sft == BASE, *condition.sweep
        groups.setdefault(key, []).append(condition)
    return list(groups.values())


def contrasted(study: Study) -> Iterator[tuple[str, Condition, Condition]]:
    """Yield each tuned condition with its references: (reference, before, after)."""
    for after in study:
        if after.sft == BASE:
            continue
        base = after._replace(sft=BASE, smoothing=0.0)
        plain = after._replace(smoothing=0.0)
        if base in study:
            yield TO_BASE, base, after
        if after.smoothing and plain in study:
            yield TO_SFT, plain, after


def by_sweep(study: Study) -> dict[tuple, list[tuple[Condition, Condition]]]:
    """Return the contrasts (before, after) of each reference and SFT set.

    Their smoothing values vary alike over trainings, so that noise is pooled.
    """
    sweeps: dict[tuple, list[tuple[Condition, Condition]]] = {}
    for reference, before, after in contrasted(study):
        sweeps.setdefault((reference, *after.sweep), []).append((before, after))
    return sweeps


class Difference:
    """A mean difference over languages, by replicate and by seed.

    Attributes:
        value: the estimate.
        draws: [R] its replicates.
        seeds: [S] by seed.
    """

    def __init__(self, after: Numbers, before: Numbers, codes: list[str]) -> None:
        """Subtract two conditions' means over languages."""
        (value, draws), (base, base_draws) = after.mean(codes), before.mean(codes)
        self.value, self.draws = value - base, draws - base_draws
        self.seeds = subtract_seeds(after, before, codes).mean(axis=1)


def pair_seeds(
    before: Numbers, after: Numbers, codes: Iterable[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return two conditions by seed and language, [S, L] or [1, L] each.

    A base model has one seed, which belongs to each of the others. Where two conditions
    have other numbers of seeds, nothing pairs them: the means are returned.
    """
    codes = list(codes)
    sides = before.by_seed(codes), after.by_seed(codes)
    if len({len(side) for side in sides} - {1}) > 1:
        first, second = (side.mean(axis=0, keepdims=True) for side in sides)
        return first, second
    return sides


def subtract_seeds(after: Numbers, before: Numbers, codes: Iterable[str]) -> np.ndarray:
    """Return a difference by seed and language [S, L], of seeds that are paired."""
    base, tuned = pair_seeds(before, after, codes)
    return tuned - base


def levels_of(codes: Iterable[str]) -> dict[str, list[str]]:
    """Return the languages of `all` and of each level that has one."""
    codes = sorted(codes)
    groups = {ALL: codes}
    for level in LEVELS:
        members = [code for code in codes if language_of(code).level == level]
        if members:
            groups[level] = members
    return groups


def levels_and_languages(codes: Iterable[str]) -> dict[str, list[str]]:
    """Return the languages of `all` and of each level, then each language alone."""
    codes = sorted(codes)
    return levels_of(codes) | {code: [code] for code in codes}


def shared(numbers: Iterable[Numbers]) -> list[str]:
    """Return the languages that all of them have."""
    languages = [set(metric.value) for metric in numbers]
    return sorted(set.intersection(*languages)) if languages else []


def interval(
    value: float,
    draws: np.ndarray,
    confidence: float,
    *,
    below: float = 0.0,
    above: float = 0.0,
    training: SeedVariance | None = None,
    n_seeds: int = 1,
) -> Row:
    """Return estimate, standard error and interval from replicates [R].

    Args:
        value: the estimate.
        draws: its replicates [R].
        confidence: of the interval.
        below: how far the truth may lie below the estimate by bias.
        above: how far above.
        training: how much the number varies over trainings; None: it is not known.
        n_seeds: that were averaged.
    """
    noise = Noise(float(draws.std(ddof=1)))
    if training is not None:
        noise = training.widen(noise.questions, n_seeds)
    half = float(half_width(noise, confidence=confidence))
    return {
        "estimate": value,
        "se": float(noise.se),
        "ci_low": value - below - half,
        "ci_high": value + above + half,
    }
