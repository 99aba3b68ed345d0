"""The verdicts on all claims as a matrix: claims down, tasks and scorings across."""

import pandas as pd

from polycal.comparing.conditions import name_facet
from polycal.comparing.verdicts import NOT_JUDGED
from polycal.measuring.side_metrics import MEASURED
from polycal.reporting.claim_sentences import MARKS, describe_case
from polycal.reporting.sentences import spell_difference
from polycal.study.layout import number


def arrange_claims(claims: pd.DataFrame) -> dict[str, object]:
    """Return the matrix of a claims table, without the claims that are judged nowhere.

    Args:
        claims: rows of the table under headline normalisers; the order of the scorings
            is that of the columns.

    Returns:
        `columns`: task and scoring, with model and SFT set where there are several.
        `rows`: of each claim its `statement` and its `cells`, one per column; a cell
        holds a chip per smoothing value, with `smoothing` (empty without), `mark`,
        `kind`, `short` (the difference that decided) and `text` (everything).
        `marks`: each mark in the matrix with its meaning. `unjudged`: how many claims
        are left out.
    """
    judged = claims.loc[claims["verdict"] != NOT_JUDGED, "statement"]
    n_claims = claims["statement"].nunique()
    claims = claims[claims["statement"].isin(judged)]
    several = len(claims[["model", "sft"]].drop_duplicates()) > 1
    cells: dict[str, dict[str, list]] = {}
    columns: dict[str, None] = {}
    kinds = set()
    for row in claims.to_dict("records"):
        column = f"{row['task']}, {row['scoring']}"
        if several:
            column += f", {name_facet(row['model'], row['sft'])}"
        columns[column] = None
        case = describe_case(row, facet=several)
        kinds.add(case["kind"])
        is_judged = case["kind"] != NOT_JUDGED
        smoothed = row["smoothing"] and pd.notna(row["smoothing"])
        chip = {
            "smoothing": number(row["smoothing"]) if smoothed else "",
            "mark": case["mark"],
            "kind": case["kind"],
            "short": spell_difference(row["estimate"], MEASURED[row["metric"]].unit)
            if is_judged
            else "",
            "text": f"{case['where']}: {case['text']}",
        }
        own = cells.setdefault(row["statement"], {})
        own.setdefault(column, []).append(chip)
    return {
        "columns": list(columns),
        "rows": [
            {
                "statement": statement,
                "cells": [own.get(column, []) for column in columns],
            }
            for statement, own in cells.items()
        ],
        "unjudged": n_claims - judged.nunique(),
        "marks": [(mark, kind) for kind, mark in MARKS.items() if kind in kinds],
    }
