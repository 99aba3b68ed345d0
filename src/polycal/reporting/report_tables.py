"""The tables of the page, with their numbers spelt out."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from polycal.comparing.claims import TO_BASE
from polycal.comparing.conditions import (
    BASE_RANK,
    TO_MODEL,
    TO_STAGE,
    TO_TASK,
    label,
)
from polycal.measuring.side_metrics import MEASURED
from polycal.reporting.spelling import percent, spell_interval, spell_points, three
from polycal.study.languages import ALL, LEVELS

NOTHING = "–"  # a cell without a number


def _percentage(value: float) -> str:
    return percent(value, unit="")


_SPELLINGS = {"%": _percentage, "pp": spell_points}  # by the metric's unit


def spelling_of(metric: str) -> Callable[[float], str]:
    """Return the function that spells a metric's values, without the unit."""
    return _SPELLINGS.get(MEASURED[metric].unit, three)


def _column(name: str) -> tuple[str, str, Callable[[float], str]]:
    """Return a metric's name, its heading with the unit, and how a value is spelt."""
    metric = MEASURED[name]
    unit = f" ({metric.unit})" if metric.unit else ""
    return name, metric.short_heading + unit, spelling_of(name)


SHORT = ("accuracy", "confidence", "gap", "ece")  # in the table of the languages
# The columns of the tables: metric, heading, spelling of a value.
COLUMNS = [
    _column(name) for name in (*SHORT, "rms_ce", "brier", "nll", "chance", "log_mass")
]


def level_table(levels: pd.DataFrame, *, is_released: bool = False) -> dict[str, Any]:
    """Return resource level x condition, with intervals where there are some.

    Args:
        levels: rows of `per_level` of one facet.
        is_released: whether its tuned model is a released checkpoint, not a seed.
    """
    columns = [column for column in COLUMNS if column[0] in levels]
    groups = []
    for level in (*LEVELS, ALL):
        rows = levels[levels["level"] == level].sort_values("rank")
        if len(rows):
            n = int(rows["n_languages"].max())
            cells = [_level_row(row, columns) for row in rows.to_dict("records")]
            for row in cells if is_released else ():
                row["single"] = False
            groups.append({"level": level, "n": n, "rows": cells})
    return {"columns": [heading for _, heading, _ in columns], "groups": groups}


def _level_row(row: Mapping, columns: list[tuple]) -> dict[str, Any]:
    cells = []
    for metric, _, spell in columns:
        low, high = (row.get(f"{end}_{metric}", math.nan) for end in ("low", "high"))
        cells.append(
            {
                "value": row[metric],
                "text": spell(row[metric]) if pd.notna(row[metric]) else NOTHING,
                "interval": "" if pd.isna(low) else spell_interval(low, high, spell),
            }
        )
    single = row["rank"] >= 0 and row["n_seeds"] == 1
    return {"label": label(row["rank"]), "single": single, "cells": cells}


def difference_table(changes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the change from each condition's reference, per resource level.

    Args:
        changes: rows of `per_change` and of `per_side`, of one facet.

    Returns:
        One row per comparison and level: `comparison`, `level`, `n` languages, and
        `cells` with the changes of `SHORT` in percentage points: `text`, `interval`,
        and `bold`, whether the interval excludes 0.
    """
    rows = []
    for (condition, reference), own in changes.groupby(["rank", "reference"]):
        for level in (*LEVELS, ALL):
            by_metric = own[own["level"] == level].set_index("metric")
            if len(by_metric):
                rows.append(
                    {
                        "comparison": compare(condition, reference),
                        "level": level,
                        "n": int(by_metric["n_languages"].max()),
                        "cells": [_change(by_metric.loc[metric]) for metric in SHORT],
                    }
                )
    return rows


def count_table(changes: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the languages in which a number is shown to rise and to fall.

    A change counts if its simultaneous band leaves out 0.

    Args:
        changes: rows of `per_change` of one facet.

    Returns:
        A row per comparison: `comparison`, `n` languages, and `cells` for `SHORT`;
        none where there is one language, whose change is that of its level.
    """
    rows: list[dict[str, Any]] = []
    single = changes[~changes["level"].isin((*LEVELS, ALL))]
    if single["level"].nunique() == 1:
        return rows
    for (condition, reference), own in single.groupby(["rank", "reference"]):
        counts = []
        for metric in SHORT:
            bands = own[own["metric"] == metric]
            up, down = (bands["sim_low"] > 0).sum(), (bands["sim_high"] < 0).sum()
            counts.append({"text": f"{up} ↑ {down} ↓", "interval": "", "bold": False})
        rows.append(
            {
                "comparison": compare(condition, reference),
                "n": own["level"].nunique(),
                "cells": counts,
            }
        )
    return rows


def compare(rank: float, reference: str) -> str:
    """Return a comparison in words: SFT, smoothing 0.1 − SFT."""
    if reference.startswith(TO_TASK):
        return f"{label(rank)} − the same on {reference.removeprefix(TO_TASK)}"
    if reference.startswith(TO_MODEL):
        return f"this model − {reference.removeprefix(TO_MODEL)}"
    if reference.startswith(TO_STAGE):
        return f"this checkpoint − {reference.removeprefix(TO_STAGE)}"
    start = BASE_RANK if reference == TO_BASE else 0.0
    return f"{label(rank)} − {label(start)}"


def _change(row: Mapping) -> dict[str, Any]:
    return {
        "text": spell_points(row["estimate"]),
        "interval": spell_interval(row["ci_low"], row["ci_high"]),
        "bold": bool(row["ci_low"] > 0 or row["ci_high"] < 0),
    }
