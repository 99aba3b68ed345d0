"""Claims as sentences: the verdict, with both values, interval and what it rests on."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from polycal.comparing.claims import CLAIMS
from polycal.comparing.conditions import language_of, name_facet
from polycal.comparing.verdicts import (
    EXPLORATORY,
    HOLDS,
    INCONCLUSIVE,
    NEGLIGIBLE,
    NOT_JUDGED,
    REVERSED,
    THIS_CHECKPOINT,
    THIS_TRAINING,
)
from polycal.measuring.side_metrics import MEASURED
from polycal.reporting.spelling import spell, spell_difference
from polycal.study.languages import ALL, LEVELS
from polycal.study.layout import number

# The signs of verdicts on the page.
MARKS = {HOLDS: "✓", REVERSED: "✗", NEGLIGIBLE: "≈", INCONCLUSIVE: "?", NOT_JUDGED: "–"}
_ENDS = "ci_low", "ci_high"
_OF_MARGIN = {
    name for name, claim in CLAIMS.items() if claim.direction in ("stays", "kept")
}
_WORDS = {
    HOLDS: "holds",
    REVERSED: "is reversed",
    NEGLIGIBLE: "is about a negligible difference",
    INCONCLUSIVE: "is inconclusive",
    NOT_JUDGED: "is not judged",
}


def describe_claims(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each claim with its verdicts, in the table's order.

    Args:
        claims: rows of a claims table under headline normalisers.

    Returns:
        `statement`, and `cases`: for each task, model, SFT set and smoothing `where`,
        `verdict`, its `kind` without what it is about, its `mark`, and `text` with the
        numbers.
    """
    several = len(claims[["model", "sft"]].drop_duplicates()) > 1
    return [
        {
            "statement": statement,
            "cases": [
                describe_case(row, facet=several) for row in own.to_dict("records")
            ],
        }
        for statement, own in claims.groupby("statement", sort=False)
    ]


def describe_case(row: Mapping, *, facet: bool) -> dict[str, str]:
    """Return a row's `where`, `verdict`, `kind`, `mark` and `text`.

    Args:
        row: of a claims table.
        facet: whether `where` names the model and the SFT set.
    """
    kind = row["verdict"]
    for ending in (THIS_TRAINING, THIS_CHECKPOINT):
        kind = kind.removesuffix(ending)
    about = row["verdict"].removeprefix(kind)
    notes = [] if kind == NOT_JUDGED else _spell_numbers(row)
    notes += [row["reason"]] if isinstance(row["reason"], str) else []
    return {
        "where": _where(row, facet=facet),
        "verdict": row["verdict"],
        "kind": kind,
        "mark": MARKS[kind],
        "text": f"{_WORDS[kind]}{about} ({'; '.join(notes)})",
    }


def _where(row: Mapping, *, facet: bool) -> str:
    parts = [row["task"], row["scoring"]]
    if facet:
        parts.append(name_facet(row["model"], row["sft"]))
    if smoothing := spell_smoothing(row):
        parts.append(f"smoothing {smoothing}")
    if row["family"] == EXPLORATORY:
        parts.append(EXPLORATORY)
    return ", ".join(parts)


def spell_smoothing(row: Mapping) -> str:
    """Spell the smoothing value of a claim's row; "" for a claim about SFT without."""
    value = row["smoothing"]
    return number(value) if value and pd.notna(value) else ""


def spell_ends(row: Mapping) -> str:
    """Spell the interval of the difference that decided, without its unit."""
    unit = MEASURED[row["metric"]].unit
    low, high = (spell_difference(row[end], unit).removesuffix(" pp") for end in _ENDS)
    return f"[{low}, {high}]"


def _spell_numbers(row: Mapping) -> list[str]:
    """Spell both values, the difference that decided and its interval, and notes."""
    metric = MEASURED[row["metric"]]
    name, unit = metric.short_heading, metric.unit
    if row["level"] not in (*LEVELS, ALL):
        name += f" of {language_of(row['level']).name}"
    level = f"{100 * row['confidence']:.4g} % interval"
    notes = [
        f"{name} {spell(row['before'], unit)} → {spell(row['after'], unit)}: "
        f"{spell_difference(row['estimate'], unit)} {spell_ends(row)}, {level}"
    ]
    if row["verdict"].startswith(NEGLIGIBLE) or row["claim"] in _OF_MARGIN:
        margin = spell_difference(row["margin"], unit)
        notes.append(f"margin {margin.removeprefix('+')}")
    if row["verdict"] != INCONCLUSIVE:
        p = row["p_adjusted"]
        notes.append("adjusted p < 0.001" if p < 0.001 else f"adjusted p = {p:.3f}")
    if row["verdict"] == INCONCLUSIVE:
        if row["detectable"] == row["detectable"]:
            least = spell_difference(row["detectable"], unit).removeprefix("+")
            notes.append(f"decides effects from {least} on")
        notes += [f"{needed} would decide this one" for needed in list_needs(row)]
    return notes + list_cautions(row)


def list_needs(row: Mapping) -> list[str]:
    """Say what would decide the effect that an inconclusive claim saw, each by itself.

    Where no number of questions does with these seeds, nor of seeds with these
    questions, both are needed. Nothing is said where over-confidence is what lacks.
    """
    needs = [
        f"{int(row[f'n_{more}_needed']):,} {more}"
        for more in ("questions", "seeds")
        if row[f"n_{more}_needed"] == row[f"n_{more}_needed"]
    ]
    if not needs and row["n_seeds"] > 1 and row["detectable"] == row["detectable"]:
        return ["more questions and more seeds"]
    return needs


def list_cautions(row: Mapping) -> list[str]:
    """Say what would undo a verdict, and what else differs between its conditions."""
    cautions = []
    if row["tipping_sd"] == row["tipping_sd"]:
        unit = MEASURED[row["metric"]].unit
        sd = spell_difference(row["tipping_sd"], unit).removeprefix("+")
        cautions.append(f"undone by an sd over trainings of {sd}")
    if row["lr_reference"] == row["lr_reference"] and row["lr"] != row["lr_reference"]:
        cautions.append(
            f"other learning rate: {number(row['lr_reference'])} → {number(row['lr'])}"
        )
    return cautions
