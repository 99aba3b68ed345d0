"""Tables of the page about languages as a sample, relative effects and cultures.

From rows of the study's tables of one facet to rows of cells, which are texts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from polycal.comparing.conditions import (
    by_condition,
    distinct_levels,
    label,
    name_facet,
    per_change,
)
from polycal.comparing.taught import METRICS
from polycal.measuring.side_metrics import MEASURED
from polycal.reporting.report_tables import (
    NOTHING,
    SHORT,
    compare,
    spelling_of,
)
from polycal.reporting.selection import Selection
from polycal.reporting.spelling import percent, spell_interval, spell_points
from polycal.storage.tables import read
from polycal.study.languages import ALL, LEVELS

_RESOURCES = "joshi_class"


def select_samples(selection: Selection) -> Callable[[str], dict[str, list]]:
    """Return the function from a facet to its `sample`, `shares` and `cultures`.

    Args:
        selection: the tables of task, scoring and normaliser.
    """
    means, slopes, shares, cultures = (
        selection.rows(kind, calibrator="none")
        for kind in ("new_languages", "slopes", "shares", "cultures")
    )
    means, slopes = per_change(means), per_change(slopes)
    shares, cultures = (
        rows.assign(facet="", rank=0.0) if rows.empty else by_condition(rows)
        for rows in (shares, cultures)
    )

    def of_facet(facet: str) -> dict[str, list]:
        chosen = [rows[rows["facet"] == facet] for rows in (means, slopes)]
        return {
            "sample": sample_table(*chosen),
            "shares": share_table(distinct_levels(shares[shares["facet"] == facet])),
            "cultures": culture_table(
                distinct_levels(cultures[cultures["facet"] == facet])
            ),
        }

    return of_facet


def sample_table(means: pd.DataFrame, slopes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row per comparison and metric: the changes of languages as a sample.

    Args:
        means: rows of a new_languages table as `per_change` returns them.
        slopes: rows of a slopes table likewise.

    Returns:
        `comparison`, `metric` and `cells`: the mean, tau, the prediction interval, and
        the slope per Joshi class.
    """
    keys = ["rank", "reference", "metric"]
    lines = slopes[slopes["predictor"] == _RESOURCES].set_index(keys)
    rows = []
    for (rank, reference), own in means[means["level"] == ALL].groupby(keys[:2]):
        own = own.set_index("metric")
        for metric in (name for name in SHORT if name in own.index):
            row, key = own.loc[metric], (rank, reference, metric)
            line = lines.loc[key] if key in lines.index else None
            rows.append(
                {
                    "comparison": compare(rank, reference),
                    "metric": MEASURED[metric].short_heading,
                    "cells": [
                        _cell(row),
                        _text(spell_points(row["tau"]).removeprefix("+")),
                        _text(spell_interval(row["new_low"], row["new_high"])),
                        _text(NOTHING) if line is None else _cell(line, name="slope"),
                    ],
                }
            )
    return rows


def share_table(shares: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row per smoothing and level: the share of SFT's change that it removes.

    Args:
        shares: rows of a shares table with `rank`.

    Returns:
        `condition`, `level`, `n` languages and `cells` for confidence and gap: `text`
        and `interval`; a dash where SFT is not shown to have added anything.
    """
    rows = []
    for rank, level, own in _by_level(shares):
        by_metric = own.set_index("metric")
        rows.append(
            {
                "condition": label(rank),
                "level": level,
                "n": int(own["n_languages"].max()),
                "cells": [
                    _text(NOTHING)
                    if pd.isna(row["share"])
                    else _cell(row, percent, name="share")
                    for metric in ("confidence", "gap")
                    for row in [by_metric.loc[metric]]
                ],
            }
        )
    return rows


def culture_table(cultures: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row per condition and level: sensitive minus agnostic questions.

    Args:
        cultures: rows of a cultures table with `rank`; perhaps none.

    Returns:
        `condition`, `level`, and `cells` for accuracy, confidence and gap.
    """
    rows = []
    for rank, level, own in _by_level(cultures[cultures["reference"].isna()]):
        by_metric = own.set_index("metric")
        cells = [_cell(by_metric.loc[name]) for name in METRICS]
        rows.append({"condition": label(rank), "level": level, "cells": cells})
    return rows


def taught_tables(paths: Iterable[Path]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Return (facet, task, scoring, normaliser) -> a row per condition and part.

    Args:
        paths: taught tables, of one model, SFT set and task each.

    Returns:
        Rows of `condition`, `part` with its number of questions, and `cells` for
        accuracy, confidence and gap; no key where SFT taught all questions or none.
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for path in paths:
        rows = read(path, "taught").to_pandas()
        names = ["model", "sft", "task", "scoring", "normaliser", "condition", "taught"]
        for (model, sft, *about, condition, is_taught), own in rows.groupby(names):
            by_metric = own.set_index("metric")
            cells = [_cell(by_metric.loc[name], spelling_of(name)) for name in METRICS]
            part = "taught" if is_taught else "not taught"
            found.setdefault((name_facet(model, sft), *about), []).append(
                {
                    "condition": label(condition),
                    "part": f"{part} ({own['n_questions'].max()})",
                    "cells": cells,
                }
            )
    return found


def _text(text: str) -> dict[str, str]:
    return {"text": text, "interval": ""}


def _cell(
    row: Mapping, spell: Callable[[float], str] = spell_points, name: str = "estimate"
) -> dict[str, str]:
    interval = spell_interval(row["ci_low"], row["ci_high"], spell)
    return {"text": spell(row[name]), "interval": interval}


def _by_level(rows: pd.DataFrame) -> Iterator[tuple[float, str, pd.DataFrame]]:
    """Yield the rows of each condition and level, in the order of both."""
    for rank, own in rows.groupby("rank"):
        for level in (*LEVELS, ALL):
            chosen = own[own["level"] == level]
            if len(chosen):
                yield float(rank), level, chosen
