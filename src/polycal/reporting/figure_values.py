"""What each figure shows of a study's tables, and why it may be nothing."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from polycal.comparing.conditions import (
    by_condition,
    language_of,
    mark_sure,
    per_bin,
    per_change,
    per_language,
    per_level_bin,
    rows_of,
    select,
)
from polycal.errors import InputError
from polycal.study.grid import BASE
from polycal.study.languages import ALL

# The tables that figures start from.
KINDS = ("metrics", "reliability", "contrasts", "decompositions", "doses", "fronts")
# Metrics by the share of the questions that are answered.
_COVERAGES = {f"accuracy_at_{each}": each / 100 for each in range(10, 100, 10)}
_COVERAGES["accuracy"] = 1.0
# Why a figure has no values, where a study may lack them.
MISSING = {
    "forest": "the study has no SFT to compare with its base models",
    "decomposition": "the study has no SFT to compare with its base models",
    "doses": "no SFT set was used with several smoothing values",
    "premium": "only scores of option texts tell how many tokens a language takes",
    "temperature": "no temperatures were fitted to these scores",
    "coverage": "the metrics do not tell how accurate the most confident answers are",
    "front": "there is no SFT whose accuracy and ECE could be weighed",
}


def values_of(
    figure: str, paths: Mapping[str, Path], place: Mapping[str, str]
) -> pd.DataFrame:
    """What a figure shows of one task, scoring and normaliser; empty if nothing.

    Args:
        figure: a name of `polycal.study.grid.FIGURES`.
        paths: the study's tables by kind, those of `KINDS`.
        place: task, scoring and normaliser.

    Raises:
        InputError: the metrics or bins hold nothing about this place.
    """

    def plain(kind: str) -> pd.DataFrame:
        return rows_of(paths[kind], kind, **place, calibrator="none")

    if figure in ("levels", "reliability"):
        pool = per_level_bin if figure == "levels" else per_bin
        return pool(select(paths["reliability"], "reliability", **place))
    if figure in ("dumbbell", "heatmap", "premium"):
        values = per_language(select(paths["metrics"], "metrics", **place))
        if figure == "premium":
            known = "token_premium" in values
            return values.dropna(subset="token_premium") if known else values.iloc[:0]
        if figure == "heatmap":
            return mark_sure(values, plain("contrasts"))
        return values
    if figure == "forest":
        changes = per_change(plain("contrasts"))
        return changes[changes["metric"].isin(["confidence", "accuracy"])]
    if figure == "decomposition":
        return per_change(plain("decompositions"))
    if figure == "doses":
        curves = plain("doses").assign(smoothing=0.0)
        curves = by_condition(curves) if len(curves) else curves
        return curves[curves["smoothings"].map(len) > 1]
    if figure == "front":
        points = rows_of(paths["fronts"], "fronts", **place)
        has_sft = (points["sft"] != BASE).any()
        return by_condition(points) if has_sft else points.iloc[:0]
    if figure == "temperature":
        return _temperatures(paths, place)
    if figure == "coverage":
        return _risks(per_language(select(paths["metrics"], "metrics", **place)))
    raise InputError(f"no figure is called {figure!r}")


def _temperatures(paths: Mapping[str, Path], place: Mapping[str, str]) -> pd.DataFrame:
    """Geometric means over seeds of each language's own and the pooled temperature."""
    asked = {**place, "metric": "temperature", "subset": "all"}
    rows = rows_of(paths["metrics"], "metrics", **asked)
    rows = rows[rows["calibrator"].isin(["ts_own", "ts_pool"])]
    if rows.empty:
        return rows
    rows = by_condition(rows.assign(value=np.log(rows["value"])))
    keys = ["facet", "rank", "language"]
    means = rows.pivot_table(index=keys, columns="calibrator", values="value")
    names = {"ts_own": "own", "ts_pool": "pooled"}
    return np.exp(means).rename(columns=names).rename_axis(columns=None).reset_index()


def _risks(values: pd.DataFrame) -> pd.DataFrame:
    """Errors among the most confident answers, means over the languages of a level."""
    held = [name for name in _COVERAGES if name in values]
    if held == ["accuracy"]:
        return values.iloc[:0]
    keys = ["facet", "rank", "language"]
    rows = values.melt(keys, held, var_name="metric", value_name="right")
    rows["level"] = [language_of(code).level for code in rows["language"]]
    rows = pd.concat([rows, rows.assign(level=ALL)])
    rows = rows.assign(coverage=rows["metric"].map(_COVERAGES), risk=1 - rows["right"])
    return (
        rows.groupby(["facet", "rank", "level", "coverage"])["risk"]
        .mean()
        .reset_index()
    )
