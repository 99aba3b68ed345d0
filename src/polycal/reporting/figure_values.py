"""What each figure shows of a study's tables, and why it may be nothing."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from polycal.errors import InputError
from polycal.grid import BASE
from polycal.statistics.conditions import (
    by_condition,
    mark_sure,
    per_bin,
    per_change,
    per_language,
    per_level_bin,
    rows_of,
    select,
)

# The tables that figures start from.
KINDS = ("metrics", "reliability", "contrasts", "decompositions", "doses", "fronts")
# Why a figure has no values, where a study may lack them.
MISSING = {
    "forest": "the study has no SFT to compare with its base models",
    "decomposition": "the study has no SFT to compare with its base models",
    "doses": "no SFT set was used with several smoothing values",
    "premium": "only scores of option texts tell how many tokens a language takes",
    "front": "there is no SFT whose accuracy and ECE could be weighed",
}


def values_of(
    figure: str, paths: Mapping[str, Path], place: Mapping[str, str]
) -> pd.DataFrame:
    """What a figure shows of one task, scoring and normaliser; empty if nothing.

    Args:
        figure: a name of `polycal.grid.FIGURES`.
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
    raise InputError(f"no figure is called {figure!r}")
