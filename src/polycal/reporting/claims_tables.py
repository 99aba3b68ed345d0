"""The verdicts on claims as tables: at a glance, and one by one with their numbers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from polycal.comparing.claims import CLAIMS
from polycal.comparing.conditions import name_facet
from polycal.comparing.verdicts import HOLDS, INCONCLUSIVE, NOT_JUDGED, REVERSED
from polycal.measuring.side_metrics import MEASURED
from polycal.reporting.claim_sentences import (
    MARKS,
    describe_case,
    list_cautions,
    list_needs,
    spell_ends,
    spell_smoothing,
)
from polycal.reporting.report_tables import NOTHING
from polycal.reporting.sentences import join
from polycal.reporting.spelling import spell, spell_difference
from polycal.study.languages import ALL, LEVELS
from polycal.study.layout import number

_CONTRAST = ["model", "sft", "smoothing", "reference", "task", "level", "scoring"]
_CONTRAST += ["normaliser", "calibrator", "metric"]


def arrange_claims(claims: pd.DataFrame) -> dict[str, Any]:
    """Return the claims of one task and scoring at a glance: claims down.

    Args:
        claims: rows of the claims table about one task, scoring and normaliser.

    Returns:
        `columns`: of one model and SFT set the conditions (SFT, smoothing 0.1), else
        SFT sets under their models, which `models` counts. `compact`: whether there
        are several, so that a cell has signs only, in the order of `smoothing`. `rows`:
        of each claim its `statement` and `cells`, lists of chips with `mark`, `kind`,
        `short` (the difference that decided) and `text` (all but the statement).
        `marks`: each sign in the matrix with its meaning. `unjudged`: how many claims
        are judged nowhere, so they are no rows.
    """
    judged = claims.loc[claims["verdict"] != NOT_JUDGED, "statement"]
    shown = claims[claims["statement"].isin(judged)]
    several = len(claims[["model", "sft"]].drop_duplicates()) > 1
    cells: dict[str, dict[tuple[str, str], list]] = {}
    columns: dict[tuple[str, str], None] = {}
    values = shown.loc[shown["smoothing"] > 0, "smoothing"].unique()
    kinds = set()
    for row in shown.to_dict("records"):
        smoothing = spell_smoothing(row)
        if several:
            column = row["model"], row["sft"]
        else:
            column = "", f"smoothing {smoothing}" if smoothing else "SFT"
        columns[column] = None
        chip = _chip(row, several=several)
        kinds.add(chip["kind"])
        own = cells.setdefault(row["statement"], {})
        own.setdefault(column, []).append(chip)
    return {
        "columns": [name for _, name in columns],
        "models": Counter(model for model, _ in columns),
        "compact": several,
        "smoothing": join([number(value) for value in sorted(values.tolist())]),
        "rows": [
            {
                "statement": statement,
                "cells": [own.get(column, []) for column in columns],
            }
            for statement, own in cells.items()
        ],
        "unjudged": claims["statement"].nunique() - judged.nunique(),
        "marks": [(mark, kind) for kind, mark in MARKS.items() if kind in kinds],
    }


def _chip(row: Mapping, *, several: bool) -> dict[str, str]:
    case = describe_case(row, facet=several)
    unit = MEASURED[row["metric"]].unit
    where = name_facet(row["model"], row["sft"]) if several else ""
    if smoothing := spell_smoothing(row):
        where = ", ".join(filter(None, [where, f"smoothing {smoothing}"]))
    short = ""
    if case["kind"] != NOT_JUDGED:
        short = spell_difference(row["estimate"], unit)
        if row["level"] not in (*LEVELS, ALL):
            short += f" ({row['level']})"  # the language that decided
    return {
        "mark": case["mark"],
        "kind": case["kind"],
        "short": short,
        "text": ": ".join(filter(None, [where, case["text"]])),
    }


def find_conflicts(claims: pd.DataFrame, task: str, scoring: str) -> list[str]:
    """Say which verdicts of a task are the opposite under another scoring.

    Args:
        claims: rows of a claims table under headline normalisers.
        task: of the verdicts.
        scoring: of the verdicts.
    """
    rows = claims[claims["task"] == task]
    kinds = rows["verdict"].str.extract(rf"^({HOLDS}|{REVERSED})", expand=False)
    rows = rows.assign(kind=kinds).dropna(subset="kind")
    keys = ["statement", "model", "sft", "smoothing"]
    own = rows[rows["scoring"] == scoring].set_index(keys)["kind"]
    told = []
    for other, theirs in rows[rows["scoring"] != scoring].groupby("scoring"):
        both = theirs.set_index(keys)[["kind"]].join(own.rename("own"), how="inner")
        both = both[both["kind"] != both["own"]]
        if len(both):
            names = dict.fromkeys(both.index.get_level_values("statement"))
            quoted = " ".join(f"“{name}”" for name in names)
            told.append(f"Scored by {other}, the verdict is the opposite: {quoted}")
    return told


def add_seeds(claims: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return claims with `by_seed`, the difference of each seed by itself.

    Args:
        claims: rows of a claims table.
        contrasts: a contrasts table; a claim that is about none of its rows has none.
    """
    facts = {
        field: claims["claim"].map(
            {name: getattr(claim, field) for name, claim in CLAIMS.items()}
        )
        for field in ("reference", "calibrator")
    }
    about = claims.assign(**facts).astype(dict.fromkeys(facts, str))
    rows = contrasts[[*_CONTRAST, "by_seed"]]
    return about.merge(rows, "left", on=_CONTRAST)


def list_claims(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Return every claim with a row per case: what was seen, and what could be seen.

    Args:
        claims: rows of a claims table under headline normalisers.

    Returns:
        `statement` and `cases`: `mark`, `kind`, `verdict`, `where`, `condition` (the
        last part of it), `family`, `values` (before and after), `difference` with
        `interval`, `least` (the smallest effect that the study decides), `needed`
        (questions per language, or seeds, that would decide the effect that was seen,
        where it is not decided) and `note`.
    """
    several = len(claims[["model", "sft"]].drop_duplicates()) > 1
    listed = []
    for statement, own in claims.groupby("statement", sort=False):
        cases = [_case(row, several=several) for row in own.to_dict("records")]
        first = cases[0]
        alike = ("kind", "note", "values")
        if first["kind"] == NOT_JUDGED and all(
            [case[name] for name in alike] == [first[name] for name in alike]
            for case in cases
        ):
            everywhere = dict.fromkeys(("where", "condition"), "in every case")
            cases = [first | everywhere]
        listed.append({"statement": statement, "cases": cases})
    return listed


def _spell_seeds(row: Mapping) -> str:
    """Spell the difference of each seed, where they are known and several."""
    seeds = row.get("by_seed")
    if not isinstance(seeds, np.ndarray) or len(seeds) < 2:
        return ""
    unit = MEASURED[row["metric"]].unit
    told = [spell_difference(value, unit).removesuffix(" pp") for value in seeds]
    return f"by seed {', '.join(told)}"


def _case(row: Mapping, *, several: bool) -> dict[str, str]:
    told = describe_case(row, facet=several)
    unit = MEASURED[row["metric"]].unit
    case = {name: told[name] for name in ("mark", "kind", "verdict", "where")}
    smoothing = spell_smoothing(row)
    case["condition"] = f"smoothing {smoothing}" if smoothing else "SFT"
    case["family"] = row["family"]
    case["note"] = row["reason"] if isinstance(row["reason"], str) else ""
    if told["kind"] != NOT_JUDGED:
        notes = [case["note"], *list_cautions(row), _spell_seeds(row)]
        case["note"] = "; ".join(filter(None, notes))
    names = ("values", "difference", "interval", "least", "needed")
    case |= dict.fromkeys(names, NOTHING)
    if pd.notna(row["before"]):
        case["values"] = f"{spell(row['before'], unit)} → {spell(row['after'], unit)}"
    if told["kind"] == NOT_JUDGED:
        return case
    needed = list_needs(row) if told["kind"] == INCONCLUSIVE else []
    if pd.notna(row["detectable"]):
        case["least"] = spell_difference(row["detectable"], unit).removeprefix("+")
    return case | {
        "difference": spell_difference(row["estimate"], unit),
        "interval": f"{spell_ends(row)} {100 * row['confidence']:.4g} %",
        "needed": " or ".join(needed) or NOTHING,
    }
