"""A paired difference between conditions, with its intervals, bands and verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from polycal.calibration import METRICS
from polycal.calibration.metric import SIGNED
from polycal.comparing.conditions import language_of
from polycal.comparing.inference import (
    Noise,
    band_width,
    half_width,
    p_above,
    p_two_sided,
)
from polycal.comparing.seed_noise import SeedVariance, pool_seeds
from polycal.study.languages import ALL, LEVELS

# Metrics that count right answers.
_OF_CORRECTNESS = {"accuracy"} | {m.name for m in METRICS.values() if m.of_bins}
# Columns that some metrics do not have, and that of verdicts on claims.
_OPTIONAL = ("p_adjusted", "margin", "p_equivalence", "p_noninferiority")
_OPTIONAL += ("p_nonsuperiority", "p_before", "p_after")


class Side(NamedTuple):
    """One metric of a condition.

    Attributes:
        seeds: [S, L] observed, one row a seed.
        replicates: [R, L] of the mean over seeds.
        bias: [L] how far the mean may lie above the truth on average.
    """

    seeds: np.ndarray
    replicates: np.ndarray
    bias: np.ndarray


class Effect(NamedTuple):
    """One metric of one condition minus that of its reference, under one reading.

    Attributes:
        key: model, sft, smoothing, reference, task, scoring, normaliser, calibrator
            and metric.
        languages: L codes, sorted.
        before: the reference, its seeds in the order of those of `after`.
        after: the condition.
        n_questions: [L] of each language.
    """

    key: dict[str, Any]
    languages: list[str]
    before: Side
    after: Side
    n_questions: np.ndarray

    @property
    def seeds(self) -> np.ndarray:
        """Return the differences [S, L]."""
        return self.after.seeds - self.before.seeds


class Groups(NamedTuple):
    """The levels that have a language.

    Attributes:
        names: V levels.
        sizes: [V] languages of each.
        means: [L, V] weights of the languages in the mean of a level.
    """

    names: list[str]
    sizes: np.ndarray
    means: np.ndarray

    def extend(self, values: np.ndarray) -> np.ndarray:
        """Append the means over levels to values of languages: [..., L + V]."""
        return np.concatenate([values, values @ self.means], axis=-1)


def group_languages(languages: Sequence[str]) -> Groups:
    """Return the levels of some languages, `ALL` last."""
    levels = np.array([language_of(code).level for code in languages])
    members = {level: levels == level for level in LEVELS}
    members[ALL] = np.ones(len(languages), bool)
    members = {level: own for level, own in members.items() if own.any()}
    sizes = np.array([own.sum() for own in members.values()])
    means = np.array([own / own.sum() for own in members.values()]).T
    return Groups(list(members), sizes, means)


def describe(
    pools: Iterable[Sequence[Effect]], *, margin: float, confidence: float
) -> pd.DataFrame:
    """Return rows of a contrasts table: one per effect and language or level.

    Args:
        pools: effects whose noise of training is pooled: of one metric and reading,
            against one reference, for the smoothing values of one model and SFT set, in
            the same languages. One pool at a time is in memory.
        margin: smaller differences are equivalent, for metrics that have a margin.
        confidence: of intervals, bands and verdicts.

    Returns:
        The rows, with the columns of `Noise` beside those of the table.
    """
    described = []
    for effects in pools:
        groups = group_languages(effects[0].languages)
        pooled = [
            pool_seeds([part(effect) for effect in effects], groups.means)
            for part in (
                lambda effect: effect.seeds,
                lambda effect: effect.before.seeds,
                lambda effect: effect.after.seeds,
            )
        ]
        settings = {"margin": margin, "confidence": confidence}
        described += [_describe(one, groups, pooled, **settings) for one in effects]
    names = dict.fromkeys(name for columns in described for name in columns)
    # One frame of all: making one of each effect takes most of a study's time.
    return pd.DataFrame(
        {
            name: np.concatenate(
                [
                    np.broadcast_to(columns[name], len(columns["level"]))
                    for columns in described
                ]
            )
            for name in names
        }
    )


def _describe(
    effect: Effect,
    groups: Groups,
    pooled: Sequence[SeedVariance],
    *,
    margin: float,
    confidence: float,
) -> dict[str, Any]:
    """Return the columns of an effect; one number or word stands for all rows."""
    metric = METRICS[effect.key["metric"]]
    n, n_seeds = len(effect.languages), len(effect.seeds)
    varied, *varied_sides = pooled
    replicates = effect.after.replicates - effect.before.replicates
    estimate = groups.extend(effect.seeds.mean(axis=0))
    noise = varied.noise(_of_questions(effect, replicates, groups), n_seeds)
    # Without noise, the true difference would lie between low and high.
    low = estimate - groups.extend(effect.after.bias)
    high = estimate + groups.extend(effect.before.bias)
    half = half_width(noise, confidence=confidence)
    band = np.full(len(estimate), np.nan)
    band[:n] = band_width(replicates, _first(noise, n), confidence=confidence)
    widest = metric.span[1] - metric.span[0]
    columns: dict[str, Any] = {
        "level": [*effect.languages, *groups.names],
        "before": groups.extend(effect.before.seeds.mean(axis=0)),
        "after": groups.extend(effect.after.seeds.mean(axis=0)),
        "estimate": estimate,
        "by_seed": np.fromiter(groups.extend(effect.seeds).T, object),
        "low": low,
        "high": high,
        "se": noise.se,
        "se_seeds": noise.se_seeds if varied.known else np.nan,
        "ci_low": np.maximum(low - half, -widest),
        "ci_high": np.minimum(high + half, widest),
        "sim_low": np.maximum(low - band, -widest),
        "sim_high": np.minimum(high + band, widest),
        "p_value": p_two_sided(np.maximum(low, 0) + np.minimum(high, 0), noise),
        "sd_seeds": _spread(groups.extend(effect.seeds)),
        "n_languages": [1] * n + groups.sizes.tolist(),
        "n_questions": [
            *effect.n_questions,
            *(effect.n_questions[own > 0].min() for own in groups.means.T),
        ],
        "n_seeds": n_seeds,
    }
    columns |= dict.fromkeys(_OPTIONAL, np.nan) | noise._asdict() | effect.key
    if metric.span == SIGNED:
        sides = ("p_before", effect.before), ("p_after", effect.after)
        for (name, side), own in zip(sides, varied_sides, strict=True):
            questions = groups.extend(side.replicates).std(axis=0, ddof=1)
            sided = own.noise(questions, n_seeds)
            columns[name] = p_above(groups.extend(side.seeds.mean(axis=0)), sided, 0.0)
    if metric.margin:
        columns["margin"] = margin
        below, above = p_above(np.stack([low, -high]), noise, -margin)
        columns |= {"p_noninferiority": below, "p_nonsuperiority": above}
        # Two one-sided tests (Schuirmann 1987): below alpha exactly where the interval
        # of confidence 1 - 2 alpha lies inside the margins.
        columns["p_equivalence"] = np.maximum(below, above)
    columns["verdict"] = _verdicts(columns)
    return columns


def _of_questions(effect: Effect, replicates: np.ndarray, groups: Groups) -> np.ndarray:
    """Return the standard errors [L + V] of a difference for other questions.

    Pairs of right and wrong answers that never differ show no noise in the bootstrap,
    which is not certainty. Of N pairs, an error of 1 / (N + 2) remains: the variance of
    Agresti and Min (2005), with half a pair added to either side, where no pair
    differs.
    """
    noise = groups.extend(replicates).std(axis=0, ddof=1)
    if effect.key["metric"] not in _OF_CORRECTNESS:
        return noise
    return np.maximum(noise, groups.extend(1 / (effect.n_questions + 2)))


def _first(noise: Noise, n: int) -> Noise:
    """Return the noise of the first n numbers."""
    cut = {name: getattr(noise, name)[:n] for name in ("questions", "common")}
    return noise._replace(**cut, specific=noise.specific[:n])


def _spread(seeds: np.ndarray) -> np.ndarray:
    """Return the standard deviation over seeds; NaN for one seed."""
    if len(seeds) == 1:
        return np.full(seeds.shape[1], np.nan)
    return seeds.std(axis=0, ddof=1)


def _verdicts(columns: Mapping[str, Any]) -> np.ndarray:
    """Return a word per row; a language is judged by the band over all languages."""
    is_level = np.isnan(columns["sim_low"])
    low = np.where(is_level, columns["ci_low"], columns["sim_low"])
    high = np.where(is_level, columns["ci_high"], columns["sim_high"])
    margin = columns["margin"]
    return np.select(
        [low > 0, high < 0, (low > -margin) & (high < margin)],
        ["increase", "decrease", "equivalent"],
        "inconclusive",
    )
