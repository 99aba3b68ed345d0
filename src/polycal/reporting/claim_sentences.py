"""Claims as sentences: the verdict, with number, interval and p-value."""

from collections.abc import Mapping

import pandas as pd

from polycal.comparing.conditions import FACET, language_of
from polycal.reporting.sentences import points
from polycal.study.languages import ALL, LEVELS
from polycal.study.layout import number

_VERDICTS = {
    "holds": "holds",
    "fails": "is refuted",
    "inconclusive": "is neither shown nor refuted",
}


def describe_claims(claims: pd.DataFrame) -> list[dict[str, object]]:
    """Return each claim with its verdicts, in the table's order.

    Args:
        claims: rows of a claims table of one scoring and normaliser.

    Returns:
        `statement`, and `cases`: for each task, model, SFT set and smoothing `where`,
        `verdict`, and `text` with the number and its interval.
    """
    several = len(claims[["model", "sft"]].drop_duplicates()) > 1
    return [
        {
            "statement": statement,
            "cases": [
                {
                    "where": _where(row, facet=several),
                    "verdict": row["verdict"],
                    "text": f"{_VERDICTS[row['verdict']]} ({_spell_numbers(row)})",
                }
                for row in own.to_dict("records")
            ],
        }
        for statement, own in claims.groupby("statement", sort=False)
    ]


def _where(row: Mapping, *, facet: bool) -> str:
    parts = [row["task"]]
    if facet:
        parts.append(f"{row['model']}{FACET}{row['sft']}")
    if row["smoothing"]:
        parts.append(f"smoothing {number(row['smoothing'])}")
    return ", ".join(parts)


def _spell_numbers(row: Mapping) -> str:
    """Spell metric, estimate and interval, and the language of a claim about each."""
    name = "ECE" if row["metric"] == "ece" else row["metric"]
    if row["level"] not in (*LEVELS, ALL):
        name += f" of {language_of(row['level']).name}"
    ends = f"[{points(row['ci_low'], unit='')}, {points(row['ci_high'], unit='')}]"
    text = f"{name} {points(row['estimate'])} {ends}"
    if row["verdict"] == "holds":
        p = row["p_adjusted"]
        text += ", adjusted p < 0.001" if p < 0.001 else f", adjusted p = {p:.3f}"
    return text
