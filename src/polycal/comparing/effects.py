"""A paired difference between conditions, with its intervals, bands and verdicts."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from polycal.calibration import METRICS
from polycal.comparing.conditions import language_of
from polycal.comparing.inference import (
    band_width,
    differences,
    half_width,
    p_above,
    p_equivalence,
    p_two_sided,
)
from polycal.study.languages import ALL, LEVELS


class Effect(NamedTuple):
    """One metric of one condition minus that of its reference, under one reading.

    Attributes:
        key: model, sft, smoothing, reference, task, scoring, normaliser, calibrator
            and metric.
        languages: L codes, sorted.
        seeds: [S, L] observed differences, one row a seed.
        replicates: [R, L] of their mean over seeds.
        bias: [2, L] largest bias of the metric, before and after.
    """

    key: dict[str, object]
    languages: list[str]
    seeds: np.ndarray
    replicates: np.ndarray
    bias: np.ndarray


def describe(effect: Effect, *, margin: float, confidence: float) -> pd.DataFrame:
    """Return the rows of a contrasts table: one per language and level.

    Args:
        effect: a difference, or a difference of differences.
        margin: smaller differences are equivalent, for metrics that have a margin.
        confidence: of intervals, bands and verdicts.
    """
    languages, replicates = effect.languages, effect.replicates
    levels = np.array([language_of(code).level for code in languages])
    members = {level: levels == level for level in LEVELS}
    members[ALL] = np.ones(len(languages), bool)
    members = {level: own for level, own in members.items() if own.any()}
    mean = np.array([own / own.sum() for own in members.values()]).T
    estimated = differences(
        np.hstack([effect.seeds, effect.seeds @ mean]),
        np.hstack([replicates, replicates @ mean]),
    )
    noise = estimated.noise
    # Without noise, the true difference would lie between low and high.
    before, after = np.hstack([effect.bias, effect.bias @ mean])
    low, high = estimated.estimate - after, estimated.estimate + before
    half = half_width(noise, confidence=confidence)
    band = band_width(replicates, noise, confidence=confidence)
    band[len(languages) :] = np.nan
    frame = pd.DataFrame(
        {
            "level": [*languages, *members],
            "estimate": estimated.estimate,
            "se": np.hypot(noise.questions, noise.training),
            "ci_low": low - half,
            "ci_high": high + half,
            "sim_low": low - band,
            "sim_high": high + band,
            "p_value": p_two_sided(np.maximum(low, 0) + np.minimum(high, 0), noise),
            "p_adjusted": np.nan,
            "margin": np.nan,
            "p_equivalence": np.nan,
            "p_noninferiority": np.nan,
            "p_nonsuperiority": np.nan,
            "sd_seeds": estimated.sd_seeds,
            "n_languages": [1] * len(languages)
            + [own.sum() for own in members.values()],
        }
    )
    if METRICS[effect.key["metric"]].margin:
        frame["margin"] = margin
        frame["p_noninferiority"] = p_above(low, noise, -margin)
        frame["p_nonsuperiority"] = p_above(-high, noise, -margin)
        frame["p_equivalence"] = p_equivalence(low, high, noise, margin)
    frame["verdict"] = _verdicts(frame, alpha=1 - confidence)
    return frame.assign(**effect.key, n_seeds=len(effect.seeds))


def _verdicts(frame: pd.DataFrame, *, alpha: float) -> np.ndarray:
    """Return a word per row; a language is judged by the band over all languages."""
    low = frame["sim_low"].fillna(frame["ci_low"])
    high = frame["sim_high"].fillna(frame["ci_high"])
    margin = frame["margin"]
    inside = (frame["sim_low"] > -margin) & (frame["sim_high"] < margin)
    alike = inside.where(frame["sim_low"].notna(), frame["p_equivalence"] < alpha)
    return np.select(
        [low > 0, high < 0, alike],
        ["increase", "decrease", "equivalent"],
        "inconclusive",
    )
