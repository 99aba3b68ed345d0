"""Tables for a paper: CSV, Markdown and LaTeX (booktabs)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd

from polycal.comparing.conditions import (
    in_resource_order,
    label,
    language_of,
    name_facet,
    per_change,
)
from polycal.reporting import latex
from polycal.reporting.claim_sentences import describe_claims
from polycal.reporting.claims_tables import list_claims
from polycal.reporting.report_tables import (
    COLUMNS,
    SHORT,
    difference_table,
    level_table,
)
from polycal.reporting.selection import Selection
from polycal.storage.files import check_outputs, replacing
from polycal.storage.tables import FORMULA
from polycal.study.scorings import Scoring
from polycal.verb import verb

NAMES = ("levels", "differences", "languages", "claims")
# Signs of the cells in files that programs read.
_PLAIN = {"−": "-", "–": ""}
# A number, perhaps with its interval, as in "-0.9 [-1.8, +0.1]".
_NUMBER = r"[+-]?[\d.]+(?: \[[\d., +-]*\])?\Z"
_TEXT_AS_FORMULA = re.compile(rf"(?!{_NUMBER}){FORMULA}")


@verb(makes="{out[0]}")
def tabulate(
    *,
    tables: Path,
    task: str,
    scoring: Scoring,
    normaliser: Literal["sum", "token"],
    out: list[Path],
) -> None:
    """Write tables of one task and scoring, with the cells of the page.

    Args:
        tables: the folder that holds the study's tables.
        task: short name of the benchmark.
        scoring: letters or text.
        normaliser: of the scores.
        out: files to write: levels, differences, languages or claims; .csv, .md, .tex.

    Raises:
        InputError: a file of another name or format, no rows for this selection, or a
            broken table.
    """
    check_outputs(out, "table", NAMES, [*_SPELT, ".tex"])
    about = {"task": task, "scoring": scoring, "normaliser": normaliser}
    chosen = Selection(tables, about)
    make: dict[str, Callable[[], pd.DataFrame]] = {
        "levels": lambda: tabulate_levels(chosen.per_level()),
        "differences": lambda: tabulate_differences(
            per_change(chosen.rows("contrasts", calibrator="none"))
        ),
        "languages": lambda: tabulate_languages(chosen.per_language()),
        "claims": lambda: tabulate_claims(chosen.rows("claims")),
    }
    made = {name: make[name]() for name in {path.stem for path in out}}
    for path in out:
        title = f"{task}, {scoring} ({normaliser})"
        if path.suffix == ".tex":
            text = _write_latex(path.stem, chosen, made[path.stem], title)
        else:
            text = _SPELT[path.suffix](made[path.stem], f"{path.stem}, {title}")
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _write_latex(name: str, chosen: Selection, frame: pd.DataFrame, title: str) -> str:
    """Return a table as LaTeX, with groups of rows in place of repeated cells."""
    if name == "languages":
        return latex.write_languages(frame, title)
    if name == "claims":
        own = chosen.rows("claims").groupby(["model", "sft"], sort=False)
        listed = ((name_facet(*names), list_claims(rows)) for names, rows in own)
        return latex.write_claims(listed, title)
    if name == "levels":
        facets = chosen.per_level().groupby("facet")
        return latex.write_levels(((f, level_table(own)) for f, own in facets), title)
    facets = per_change(chosen.rows("contrasts", calibrator="none")).groupby("facet")
    tables = ((facet, difference_table(own)) for facet, own in facets)
    return latex.write_differences(tables, title)


def tabulate_levels(levels: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model, SFT set, resource level and condition.

    Args:
        levels: as `per_level` returns it.
    """
    rows = []
    for facet, own in levels.groupby("facet"):
        for group in level_table(own)["groups"]:
            for row in group["rows"]:
                cells = [
                    f"{cell['text']} {cell['interval']}".strip()
                    for cell in row["cells"]
                ]
                rows.append([facet, group["level"], group["n"], row["label"], *cells])
    metrics = [name for key, name, _ in COLUMNS if key in levels]
    columns = ["model and SFT set", "level", "languages", "condition", *metrics]
    return pd.DataFrame(rows, columns=columns)


def tabulate_differences(changes: pd.DataFrame) -> pd.DataFrame:
    """Return changes between conditions by level, in percentage points.

    Args:
        changes: as `per_change` returns it.
    """
    rows = [
        [
            facet,
            row["comparison"],
            row["level"],
            row["n"],
            *(f"{cell['text']} {cell['interval']}" for cell in row["cells"]),
        ]
        for facet, own in changes.groupby("facet")
        for row in difference_table(own)
    ]
    columns = ["model and SFT set", "comparison", "level", "languages"]
    return pd.DataFrame(rows, columns=[*columns, *(f"{name} (pp)" for name in SHORT)])


def tabulate_languages(values: pd.DataFrame) -> pd.DataFrame:
    """Return a row per language and condition, from high to low resources.

    Args:
        values: as `per_language` returns it.
    """
    columns = [column for column in COLUMNS if column[0] in SHORT]
    indexed = values.set_index(["facet", "language", "rank"]).sort_index()
    rows = []
    for facet in sorted(values["facet"].unique()):
        for code in in_resource_order(indexed.loc[facet].index.get_level_values(0)):
            language = language_of(code)
            for condition, row in indexed.loc[(facet, code)].iterrows():
                cells = [spell(row[metric]) for metric, _, spell in columns]
                first = [facet, language.name, code, language.level, label(condition)]
                rows.append([*first, *cells])
    first = ["model and SFT set", "language", "code", "level", "condition"]
    return pd.DataFrame(rows, columns=[*first, *(name for _, name, _ in columns)])


def tabulate_claims(claims: pd.DataFrame) -> pd.DataFrame:
    """Return a row per claim and case, with its verdict.

    Args:
        claims: rows of a claims table.
    """
    rows = [
        [claim["statement"], case["where"], case["verdict"], case["text"]]
        for claim in (describe_claims(claims) if len(claims) else [])
        for case in claim["cases"]
    ]
    return pd.DataFrame(rows, columns=["claim", "where", "verdict", "numbers"])


def _spell(frame: pd.DataFrame, signs: dict[str, str]) -> pd.DataFrame:
    """Return every cell as text, with its signs replaced."""
    for sign, spelt in signs.items():
        frame = frame.map(lambda cell, a=sign, b=spelt: str(cell).replace(a, b))
    return frame


def _csv(frame: pd.DataFrame, _: str) -> str:
    cells = _spell(frame, _PLAIN)
    # A spreadsheet would compute a language's name that a study gives as "=1+1".
    cells = cells.map(lambda cell: _TEXT_AS_FORMULA.sub(r"'\1", cell))
    return cells.to_csv(index=False, lineterminator="\n")


def _markdown(frame: pd.DataFrame, title: str) -> str:
    body = _spell(frame, {"|": r"\|"}).to_markdown(index=False, disable_numparse=True)
    return f"{title[0].upper()}{title[1:]}\n\n{body}\n"


_SPELT: dict[str, Callable[[pd.DataFrame, str], str]] = {
    ".csv": _csv,
    ".md": _markdown,
}
